"""`dagi telegram`: what a bot's owner sets up at Telegram."""

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Final, TypeVar
from urllib.parse import urlsplit

import typer

from dagi.assemble.bots import BotPlan, read_bots
from dagi.assemble.installation import Choice
from dagi.channels.conversation import COMMANDS
from dagi.channels.telegram.api import UNREADABLE, Api, Refusal
from dagi.channels.telegram.setup import WebhookInfo, delete_webhook, offer_commands, set_webhook, webhook_info
from dagi.cli.options import AsJson, Config, Profile, looked_at
from dagi.cli.output import as_json, say, table
from dagi.errors import ConfigError, Invalid, Missing, OutsideFailure
from dagi.outbound import Client

T = TypeVar("T")
app = typer.Typer(help="Bots at Telegram: set-webhook, info, delete, poll.", no_args_is_help=True)
WhichBot = Annotated[str | None, typer.Option("--bot", help="Its name in the configuration; the only one where left out.")]
# https://core.telegram.org/bots/api#setwebhook
_PORTS: Final = frozenset({443, 80, 88, 8443})


@app.command("set-webhook", epilog="Example: dagi telegram set-webhook https://dao.example/telegram/webhook/main")
def set_(
    url: Annotated[str, typer.Argument(help="Where Telegram reaches this stack's /telegram/webhook, with HTTPS.")],
    bot: WhichBot = None,
    profile: Profile = None,
    config: Config = None,
) -> None:
    """Have Telegram deliver updates here, and offer the bot's commands."""
    _check(url)
    plan, base_url = _plan(bot, profile, config)
    secret = plan.secret
    if secret is None:
        raise ConfigError(f"The bot {plan.settings.name} fetches its updates (mode: polling). Write mode: webhook, and a secret.")

    async def work(api: Api) -> None:
        await set_webhook(api, url, secret)
        await offer_commands(api, COMMANDS)

    _at_telegram(plan, base_url, work)
    say(f"Telegram delivers what people write to {plan.settings.name} to {url}")


@app.command(epilog="Example: dagi telegram info")
def info(bot: WhichBot = None, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Tell where updates go, how many wait, and what went wrong of late."""
    plan, base_url = _plan(bot, profile, config)
    found = _at_telegram(plan, base_url, webhook_info)
    if json:
        as_json(found)
        return
    rows = [
        ("bot", plan.settings.name),
        ("updates", found.url or "wait until they are fetched"),
        ("waiting", found.pending_update_count),
        ("last trouble", _trouble(found)),
    ]
    table(("what", "value"), rows, empty="")


@app.command(epilog="Example: dagi telegram delete")
def delete(bot: WhichBot = None, profile: Profile = None, config: Config = None) -> None:
    """Have Telegram deliver nothing any more; what people write waits at Telegram for a day."""
    plan, base_url = _plan(bot, profile, config)
    _at_telegram(plan, base_url, delete_webhook)
    say(f"What people write to {plan.settings.name} waits until somebody fetches it.")


@app.command(epilog="Example: dagi telegram poll --profile dev --config my.yml")
def poll(
    bot: WhichBot = None,
    profile: Profile = None,
    config: Config = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The router's port; 0 takes free ones.")] = None,
) -> None:
    """Run router and gateway here, with this bot alone fetching its updates, whatever its mode says. Ctrl-C stops it.

    For a machine without a public address. A webhook that is set is taken away, for Telegram allows one of both.
    """
    from dagi.cli.serve import run_stack  # noqa: PLC0415 - the other commands about bots need no supervisor

    loaded = looked_at(profile, config).loaded
    telegram = loaded.settings.channels.telegram
    name = _named(bot, [one.name for one in telegram.bots])
    found = read_bots(loaded, name)
    if not found.plans:
        raise Missing(f"There is no bot to work with: {'; '.join(found.notes)}.")
    (plan,) = found.plans
    options: dict[str, str | int | bool | None] = {} if port is None else {"server.port": port}
    choice = Choice(profile=profile, config=config, options=options, poll=name)

    async def first() -> None:
        url = await _answered(plan, telegram.api_base_url, _freed)
        if url:
            say(f"Telegram delivered to {url} until now. That webhook is removed; to have it back afterwards:")
            say(f"  dagi telegram set-webhook {shlex.quote(url)} --bot {name}{choice.again()}")
        say(f"The bot {name} fetches what people write to it; other bots and applications are off.\n")

    asyncio.run(run_stack(choice, ("router", "gateway"), first))


async def _freed(api: Api) -> str:
    """Have updates wait until they are fetched; where they were delivered until now, empty for nowhere."""
    url = (await webhook_info(api)).url
    if url:
        await delete_webhook(api)
    return url


def _named(name: str | None, names: Sequence[str]) -> str:
    """The bot that is meant.

    Raises:
        Missing: there is none of the name, or it takes a name.
    """
    if not names:
        raise Missing("There is no bot to work with: none is under channels.telegram.bots.")
    if name is None and len(names) > 1:
        raise Missing(f"Say which bot: --bot {' or '.join(names)}.")
    if name is not None and name not in names:
        raise Missing(f"There is no bot {name}.", known=names)
    return name or names[0]


def _plan(name: str | None, profile: str | None, config: str | None) -> tuple[BotPlan, str]:
    loaded = looked_at(profile, config).loaded
    bots = read_bots(loaded)
    names = [plan.settings.name for plan in bots.plans]
    if name is None and len(names) != 1:
        why = "; ".join(bots.notes) or "none is under channels.telegram.bots"
        raise Missing(f"Say which bot: --bot {' or '.join(names)}." if names else f"There is no bot to work with: {why}.")
    found = next((plan for plan in bots.plans if name is None or plan.settings.name == name), None)
    if found is None:
        raise Missing(f"There is no bot {name} that could work.", known=names)
    return found, loaded.settings.channels.telegram.api_base_url


def _at_telegram(plan: BotPlan, base_url: str, work: Callable[[Api], Awaitable[T]]) -> T:
    return asyncio.run(_answered(plan, base_url, work))


async def _answered(plan: BotPlan, base_url: str, work: Callable[[Api], Awaitable[T]]) -> T:
    try:
        async with Client() as http:
            return await work(Api(http, base_url, plan.token))
    except (Refusal, *UNREADABLE) as refusal:
        raise OutsideFailure(f"Telegram did not do it for the bot {plan.settings.name}: {refusal}.", service="telegram") from refusal


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        port = parts.port or 443
    except ValueError:
        raise Invalid("That is no address.", field="url") from None
    if parts.scheme != "https" or not parts.hostname:
        raise Invalid(
            "Telegram delivers over HTTPS alone: https://…/telegram/webhook. Without such an address write mode: polling.", field="url"
        )
    if port not in _PORTS:
        raise Invalid("Telegram delivers to the ports 443, 80, 88 and 8443 alone.", field="url", allowed=sorted(_PORTS))


def _trouble(found: WebhookInfo) -> str:
    if not found.last_error_message:
        return "none"
    when = datetime.fromtimestamp(found.last_error_date, UTC)
    return f"{found.last_error_message} ({when:%Y-%m-%d %H:%M} UTC)"
