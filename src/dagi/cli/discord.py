"""`dagi discord`: what an application's owner sets up at Discord."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar
from urllib.parse import urlsplit

import typer

from dagi.assemble.applications import ApplicationPlan, read_applications
from dagi.channels.conversation import COMMANDS
from dagi.channels.discord.api import UNREADABLE, Api, Refusal
from dagi.channels.discord.setup import Setting, commands, invitation, looked_at, register, registered, set_endpoint
from dagi.cli.options import AsJson, Config, Profile
from dagi.cli.options import looked_at as configured
from dagi.cli.output import as_json, say, table
from dagi.errors import Invalid, Misconfigured, Missing, OutsideFailure
from dagi.outbound import Client

T = TypeVar("T")
app = typer.Typer(help="Applications at Discord: register, set-endpoint, info.", no_args_is_help=True)
WhichApp = Annotated[str | None, typer.Option("--app", help="Its name in the configuration; the only one where left out.")]


class _Known:
    """An application, and where and how the configuration wants it."""

    def __init__(self, plan: ApplicationPlan, base_url: str, *, development: bool) -> None:
        self.plan = plan
        self.base_url = base_url
        self.development = development

    @property
    def id(self) -> str:
        return self.plan.settings.application_id

    @property
    def guilds(self) -> Sequence[str]:
        return list(self.plan.settings.guilds)


@app.command("register", epilog="Example: dagi discord register --guild 1200000000000000001")
def register_(
    which: WhichApp = None,
    guild: Annotated[str | None, typer.Option("--guild", help="The id of one server, for that alone; else everywhere.")] = None,
    profile: Profile = None,
    config: Config = None,
) -> None:
    """Have Discord offer the commands, unless it does: everywhere; in development in the application's servers alone."""
    known = _known(which, profile, config)
    guilds = [_id(guild)] if guild is not None else known.guilds if known.development else []

    async def work(api: Api) -> Sequence[str]:
        lines = [await _registered(api, known, one) for one in guilds or [""]]
        return lines if guilds else [*lines, *[line for one in known.guilds if (line := await _taken_away(api, known, one))]]

    for line in _at_discord(known, work):
        say(line)


@app.command("set-endpoint", epilog="Example: dagi discord set-endpoint https://dao.example/discord/webhook/main")
def set_endpoint_(
    url: Annotated[str, typer.Argument(help="Where Discord reaches this stack's /discord/webhook, with HTTPS.")],
    which: WhichApp = None,
    profile: Profile = None,
    config: Config = None,
) -> None:
    """Have Discord deliver interactions here. The stack has to be running: Discord tries it at once."""
    _check(url)
    known = _known(which, profile, config)

    async def work(api: Api) -> None:
        try:
            await set_endpoint(api, url)
        except Refusal as refusal:
            if refusal.status != 400:
                raise
            raise Invalid(
                f"Discord tried {url} and did not hear what it has to: this stack has to be running, to be reached there, and to have the "
                "application's public_key.",
                field="url",
            ) from refusal

    _at_discord(known, work)
    say(f"Discord delivers what people do with {known.plan.settings.name} to {url}")


@app.command(epilog="Example: dagi discord info")
def info(which: WhichApp = None, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Tell where interactions go, which commands are registered, and what is wrong."""
    known = _known(which, profile, config)
    settings = known.plan.settings
    found = _at_discord(known, lambda api: looked_at(api, known.id, settings.public_key, known.guilds, COMMANDS))
    if json:
        as_json(found)
        return
    table(("what", "value"), _rows(known, found), empty="")


def _rows(known: _Known, found: Setting) -> Sequence[tuple[str, str]]:
    offered = [(f"commands in {guild}" if guild else "commands", ", ".join(names) or "none") for guild, names in found.commands.items()]
    return [
        ("application", f"{known.plan.settings.name}: {found.about.name} ({found.about.id})"),
        ("interactions", found.about.interactions_endpoint_url or "go nowhere"),
        *offered,
        ("invitation", invitation(known.id)),
        *([("wrong", one) for one in found.wrong] or [("wrong", "nothing")]),
    ]


async def _registered(api: Api, known: _Known, guild: str) -> str:
    where = f"in the server {guild}" if guild else "everywhere"
    wanted = commands(COMMANDS, everywhere=not guild)
    try:
        changed = await register(api, known.id, wanted, guild)
    except Refusal as refusal:
        if not guild or refusal.status not in {403, 404}:
            raise
        raise Missing(f"The bot is not in the server {guild}. Whoever runs that lets it in at {invitation(known.id)}") from refusal
    if not changed:
        return f"unchanged: Discord offers the commands of {known.plan.settings.name} {where} already"
    return f"Discord offers {', '.join(str(one['name']) for one in wanted)} {where}"


async def _taken_away(api: Api, known: _Known, guild: str) -> str:
    """What was registered for one server while it was developed would stand there twice."""
    try:
        there = await registered(api, known.id, guild)
    except Refusal as refusal:
        if refusal.status in {403, 404}:
            return ""
        raise
    if not there or not {str(one.get("name")) for one in there} <= {str(one["name"]) for one in commands(COMMANDS)}:
        return ""
    await register(api, known.id, [], guild)
    return f"those of the server {guild} alone are gone: they would have stood there twice"


def _known(name: str | None, profile: str | None, config: str | None) -> _Known:
    loaded = configured(profile, config).loaded
    plans = read_applications(loaded).plans
    names = [plan.settings.name for plan in plans]
    if name is None and len(names) != 1:
        which = f"Say which application: --app {' or '.join(names)}."
        raise Missing(which if names else "There is no application to work with: none is under channels.discord.applications.")
    found = next((plan for plan in plans if name is None or plan.settings.name == name), None)
    if found is None:
        raise Missing(f"There is no application {name}.", known=names)
    if not found.token:
        where = found.settings.bot_token_file or found.settings.bot_token_env
        what = f"{where} is not set" if where else "it has no bot_token_env"
        why = f"Discord listens to the bot alone, and {found.settings.name} has no token: {what}."
        raise Misconfigured(why, service="discord", detail=why)
    settings = loaded.settings
    return _Known(found, settings.channels.discord.api_base_url, development=settings.environment == "development")


def _at_discord(known: _Known, work: Callable[[Api], Awaitable[T]]) -> T:
    async def run() -> T:
        async with Client() as http:
            return await work(Api(http, known.base_url, known.plan.token))

    try:
        return asyncio.run(run())
    except (Refusal, *UNREADABLE) as refusal:
        why = f"Discord did not do it for the application {known.plan.settings.name}: {refusal}."
        raise OutsideFailure(why, service="discord") from refusal


def _id(guild: str) -> str:
    if not (guild.isascii() and guild.isdigit() and 15 <= len(guild) <= 20):
        raise Invalid(
            "That is no id of a server, such as 1200000000000000001 (in Discord's developer mode: Copy Server ID).", field="guild"
        )
    return guild


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        right = parts.scheme == "https" and bool(parts.hostname) and parts.path.startswith("/discord/webhook")
    except ValueError:
        right = False
    if not right:
        raise Invalid("Discord delivers over HTTPS alone: https://…/discord/webhook, or …/discord/webhook/NAME.", field="url")
