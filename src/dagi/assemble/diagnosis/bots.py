"""What `dagi doctor` says of bots: all are asked for at once, each for a bounded time, and none of their tokens is shown."""

import asyncio
from collections.abc import AsyncGenerator, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from dagi.assemble.applications import ApplicationPlan, read_applications
from dagi.assemble.bots import BotPlan, read_bots
from dagi.assemble.diagnosis.report import Report, bad, good, odd
from dagi.assemble.installation import Installation
from dagi.channels.discord import api as discord
from dagi.channels.telegram.api import UNREADABLE, Api, Refusal
from dagi.channels.telegram.setup import WebhookInfo, webhook_info
from dagi.channels.telegram.updates import ALLOWED
from dagi.errors import ConfigError
from dagi.outbound import Client
from dagi.ports.http import HttpClient

CHECK_S: Final = 5.0
_UNKNOWN: Final = frozenset({401, 404})


class _Me(msgspec.Struct):
    """See https://core.telegram.org/bots/api#user."""

    username: str = ""
    can_read_all_group_messages: bool = False


class _Own(msgspec.Struct):
    """See https://docs.discord.com/developers/resources/application#application-object."""

    id: str = ""
    verify_key: str = ""
    interactions_endpoint_url: str | None = None


async def about_bots(installation: Installation) -> AsyncGenerator[Report]:
    """Whether each bot could answer now."""
    try:
        bots, applications = read_bots(installation.loaded), read_applications(installation.loaded)
    except ConfigError as error:
        for line in error.message.splitlines():
            yield bad("bots", line, "change it; the stack does not start like this")
        return
    for note in (*bots.notes, *applications.notes):
        yield odd("bots", note, "set it, or leave it if it is meant")
    channels = installation.loaded.settings.channels
    async with Client() as http:
        asked = [_telegram(plan, http, channels.telegram.api_base_url) for plan in bots.plans]
        asked += [_discord(plan, http, channels.discord.api_base_url) for plan in applications.plans]
        for reports in await asyncio.gather(*asked):
            for report in reports:
                yield report


async def _telegram(plan: BotPlan, http: HttpClient, base_url: str) -> Sequence[Report]:
    about, api = f"bot {plan.settings.name}", Api(http, base_url, plan.token, timeout_s=CHECK_S)
    try:
        me = msgspec.json.decode(await api.call("getMe"), type=_Me)
        told = await webhook_info(api)
        commands = msgspec.json.decode(await api.call("getMyCommands"), type=list[msgspec.Raw])
    except Refusal as refusal:
        if refusal.code in _UNKNOWN:
            return [bad(about, f"Telegram does not know its token: {refusal}", "ask BotFather for the one that counts (/token)")]
        return [odd(about, f"Telegram did not answer: {refusal}", f"let this machine reach {base_url}; updates are taken meanwhile")]
    except UNREADABLE:
        return [odd(about, "what answered is no Bot API server", "correct channels.telegram.api_base_url")]
    found = [*_named(about, plan, me), *_delivered(about, plan, told)]
    if not commands:
        found.append(odd(about, "Telegram offers nobody its commands", "start the stack: it tells Telegram which there are"))
    if any(report.finding.severity == "error" for report in found):
        return found
    how = f"by webhook to {told.url}" if plan.secret is not None else "fetched from here"
    return [good(about, f"@{me.username}; updates come {how}; {told.pending_update_count} wait at Telegram"), *found]


def _named(about: str, plan: BotPlan, me: _Me) -> Iterator[Report]:
    bot = plan.settings
    if bot.username is not None and bot.username.lower() != me.username.lower():
        yield odd(about, f"Telegram calls it @{me.username}, the configuration @{bot.username}", "correct username, or the token")
    hears = not bot.mention_only or any(chat.mention_only is False for chat in bot.chats.values())
    if hears and not me.can_read_all_group_messages:
        what = "it is to hear everything in groups (mention_only: false), and Telegram keeps that from it"
        yield odd(about, what, "switch its privacy mode off at BotFather (/setprivacy), and add it to the groups anew")


def _delivered(about: str, plan: BotPlan, told: WebhookInfo) -> Iterator[Report]:
    again = f"dagi telegram set-webhook https://…/telegram/webhook/{plan.settings.name} --bot {plan.settings.name}"
    if plan.secret is None:
        if told.url:
            yield odd(
                about, f"Telegram delivers to {told.url}, mode is polling", "the stack takes that away when it starts; or mode: webhook"
            )
        return
    if not told.url:
        yield bad(about, "nobody has told Telegram where to deliver", again)
        return
    if missing := sorted(set(ALLOWED) - set(told.allowed_updates)) if told.allowed_updates else []:
        yield odd(about, f"Telegram does not deliver {', '.join(missing)}", again)
    if told.last_error_message:
        when = datetime.fromtimestamp(told.last_error_date, UTC)
        what = f"Telegram could not deliver at {when:%Y-%m-%d %H:%M} UTC: {told.last_error_message}"
        yield odd(about, what, f"have {told.url} lead to port 9300 (server.ports.gateway); where it says 401: {again}")


async def _discord(plan: ApplicationPlan, http: HttpClient, base_url: str) -> Sequence[Report]:
    about, settings = f"application {plan.settings.name}", plan.settings
    if not plan.token:
        return []
    try:
        answer = await discord.Api(http, base_url, plan.token, timeout_s=CHECK_S).call("GET", "/applications/@me")
        own = msgspec.json.decode(answer, type=_Own)
    except discord.Refusal as refusal:
        if refusal.status in _UNKNOWN:
            return [bad(about, f"Discord does not know its bot token: {refusal}", "reset it in the developer portal, under Bot")]
        return [odd(about, f"Discord did not answer: {refusal}", f"let this machine reach {base_url}")]
    except UNREADABLE:
        return [odd(about, "what answered is not Discord", "correct channels.discord.api_base_url")]
    if own.id != settings.application_id:
        return [bad(about, f"its token is that of the application {own.id}", "correct application_id, or the token")]
    if own.verify_key.lower() != settings.public_key.lower():
        return [bad(about, "its public_key is not the one Discord signs with", f"write public_key: {own.verify_key[:64]}")]
    if not own.interactions_endpoint_url:
        fix = f"dagi discord set-endpoint https://…/discord/webhook/{settings.name}"
        return [odd(about, "Discord delivers its interactions nowhere", fix)]
    return [good(about, f"Discord delivers to {own.interactions_endpoint_url}")]
