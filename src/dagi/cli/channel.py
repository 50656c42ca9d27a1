"""`dagi channel`: which DAO a chat belongs to."""

from collections.abc import Sequence
from typing import Annotated, Final, cast

import typer

from dagi.access.names import CHANNELS, check_chat
from dagi.assemble.bots import configured_dao
from dagi.cli.options import AsJson, Config, Profile, Yes, installation
from dagi.cli.output import as_json, say, table
from dagi.cli.work import operator, with_database
from dagi.errors import Invalid
from dagi.observe.clock import SystemClock
from dagi.ports.inbox import Channel, Lane
from dagi.stores.chat_bindings import Binding, BindingAdmin

app = typer.Typer(help="Chats that belong to a DAO of their own: bind, list, unbind.", no_args_is_help=True)
OfChannel = Annotated[str, typer.Argument(metavar="CHANNEL", help="telegram or discord.")]
OfBot = Annotated[str, typer.Argument(metavar="BOT", help="The bot's or application's name in the configuration.")]
Chat = Annotated[str, typer.Argument(metavar="CHAT", help="The chat's id, such as -1001234567890; of Discord a server's or a channel's.")]
# Ids of groups begin with a dash, which is no option here.
_NEGATIVE: Final = {"ignore_unknown_options": True}


@app.command(context_settings=_NEGATIVE, epilog="Example: dagi channel bind telegram main -1001234567890 --dao bees-dao")
def bind(
    channel: OfChannel,
    bot: OfBot,
    chat: Chat,
    dao: Annotated[str, typer.Option("--dao", help="The DAO it belongs to from now on.")],
    mention_only: Annotated[
        bool | None, typer.Option("--mention-only/--hear-all", help="Hear those alone who address the bot, or everybody.")
    ] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Have a chat belong to a DAO, whatever the configuration says of it. A running stack knows within a second."""
    of = installation(profile, config)
    lane = _lane(channel, bot, chat)
    if lane.channel == "discord" and mention_only is not None:
        raise Invalid("An application of Discord hears nobody but those who address it. Leave it out.", field="mention_only")
    now = configured_dao(of.loaded.settings.channels, lane, known=True)
    made = with_database(
        of,
        lambda database: BindingAdmin(database, SystemClock(), operator()).bind(lane, dao, mention_only=mention_only, otherwise=now),
    )
    if json:
        as_json(made)
    else:
        say(f"What is said in {channel} {bot} {chat} is said in {dao}.")


@app.command("list", epilog="Example: dagi channel list --dao bees-dao")
def list_all(
    dao: Annotated[str | None, typer.Option("--dao", help="Only those of this DAO.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """List the chats that are bound here; those the configuration names are told by `dagi config show`."""
    _print(with_database(installation(profile, config), lambda database: BindingAdmin(database, SystemClock()).all(dao)), json=json)


@app.command(context_settings=_NEGATIVE, epilog="Example: dagi channel unbind telegram main -1001234567890")
def unbind(channel: OfChannel, bot: OfBot, chat: Chat, profile: Profile = None, config: Config = None, yes: Yes = False) -> None:
    """Have a chat belong to whom the configuration says."""
    of = installation(profile, config)
    lane = _lane(channel, bot, chat)
    after = configured_dao(of.loaded.settings.channels, lane)
    if not yes:
        typer.confirm(f"Let {channel} {bot} {chat} belong to {after or 'nobody: that bot is not configured'}?", abort=True)
    with_database(of, lambda database: BindingAdmin(database, SystemClock(), operator()).unbind(lane, otherwise=after))
    say(f"{channel} {bot} {chat} belongs to {after}." if after else f"{channel} {bot} {chat} is bound no more.")


def _lane(channel: str, bot: str, chat: str) -> Lane:
    if channel not in CHANNELS:
        raise Invalid(f"There is no channel {channel!r}: telegram or discord.", field="channel", allowed=list(CHANNELS))
    return Lane(cast("Channel", channel), bot, check_chat(channel, chat))


def _print(bindings: Sequence[Binding], *, json: bool) -> None:
    if json:
        as_json(bindings)
        return
    hears = {None: "", True: "those who address the bot", False: "everybody"}
    rows = [(one.channel, one.bot, one.chat, one.dao_id, hears[one.mention_only], one.created_by, one.created_at) for one in bindings]
    table(("channel", "bot", "chat", "dao", "hears", "by", "since"), rows, empty="No chat is bound. `dagi channel bind` does it.")
