"""Telegram's bots of the configuration, with the secrets it leads to."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from dagi.channels.telegram.attending import Bound
from dagi.config import Loaded
from dagi.config.channel_schema import Channels, TelegramBot
from dagi.errors import ConfigError, Missing
from dagi.ports.inbox import Lane
from dagi.stores.chat_bindings import Binding

# https://core.telegram.org/bots/api#authorizing-your-bot
_TOKEN = re.compile(r"([0-9]{1,19}):[A-Za-z0-9_-]{20,100}\Z")
# https://core.telegram.org/bots/api#setwebhook
_SECRET = re.compile(r"[A-Za-z0-9_-]{1,256}\Z")


class BotPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A bot that can work.

    Attributes:
        secret: None for one that fetches its updates.
    """

    settings: TelegramBot
    token: str
    secret: str | None = None

    def __repr__(self) -> str:
        return f"BotPlan({self.settings.name})"

    @property
    def id(self) -> int:
        """The bot's own id, with which its token begins."""
        return int(self.token.partition(":")[0])

    def bound(self, chat: str, said: Binding | None = None) -> Bound:
        """What a chat belongs to; `said` is what the database says of it, which goes before."""
        own, bot = self.settings.chats.get(chat), self.settings
        only = next((one.mention_only for one in (said, own) if one is not None and one.mention_only is not None), bot.mention_only)
        return Bound(said.dao_id if said is not None else dao_of(bot, chat), only)


def dao_of(bot: TelegramBot, chat: str) -> str:
    """The DAO of a chat, as the configuration says."""
    own = bot.chats.get(chat)
    return own.dao_id if own is not None and own.dao_id is not None else bot.dao_id


def configured_dao(channels: Channels, lane: Lane, *, known: bool = False) -> str | None:
    """The DAO that the configuration has a chat belong to; None where it has no such bot.

    Args:
        known: it has to have it.

    Raises:
        Missing: it has not.
    """
    if lane.channel == "telegram":
        bots = {bot.name: bot for bot in channels.telegram.bots}
        found = None if (bot := bots.get(lane.bot)) is None else dao_of(bot, lane.chat)
        names = [*bots]
    else:
        applications = {one.name: one for one in channels.discord.applications}
        own = applications.get(lane.bot)
        guild = None if own is None else own.guilds.get(lane.chat)
        found = guild.dao_id if guild is not None and guild.dao_id else None if own is None else own.dao_id
        names = [*applications]
    if found is None and known:
        raise Missing(f"The configuration has no {lane.channel} bot {lane.bot[:40]!r}.", known=names)
    return found


class Bots(msgspec.Struct, frozen=True, kw_only=True):
    """All that can work, and what the operator should hear about the others."""

    plans: tuple[BotPlan, ...] = ()
    notes: tuple[str, ...] = ()


def read_bots(loaded: Loaded, poll: str | None = None) -> Bots:
    """Read them.

    Args:
        poll: this one alone works, and fetches its updates whatever its mode says.

    Raises:
        ConfigError: with every mistake, at file and line.
    """
    plans: list[BotPlan] = []
    notes: list[str] = []
    mistakes = [*_twice(loaded.settings.channels.telegram.bots)]
    tokens: dict[str, str] = {}
    for index, configured in enumerate(loaded.settings.channels.telegram.bots):
        if poll not in {None, configured.name}:
            continue
        bot = configured if poll is None else configured.model_copy(update={"mode": "polling"})
        path = f"channels.telegram.bots[{index}]"
        try:
            token, secret = _secret(loaded, bot, "token"), _secret(loaded, bot, "secret")
        except ConfigError as error:
            mistakes.append((path, error.message))
            continue
        missing = _missing(bot, token, secret)
        if missing is not None and loaded.settings.environment == "development":
            notes.append(f"{path}: the bot {bot.name} is off: {missing}")
        elif missing is not None:
            mistakes.append((path, missing))
        elif wrong := _wrong(token, secret):
            mistakes.append((path, wrong))
        elif token is not None and (other := tokens.setdefault(token, bot.name)) != bot.name:
            mistakes.append((path, f"its token is that of the bot {other}, too; Telegram has one place for the updates of each"))
        elif token is not None:
            plans.append(BotPlan(settings=bot, token=token, secret=secret if bot.mode == "webhook" else None))
    if mistakes:
        raise loaded.origins.error(mistakes)
    return Bots(plans=tuple(plans), notes=tuple(notes))


def _secret(loaded: Loaded, bot: TelegramBot, key: str) -> str | None:
    section: Mapping[str, object] = {f"{key}_env": getattr(bot, f"{key}_env"), f"{key}_file": getattr(bot, f"{key}_file")}
    return loaded.environment.secret(section, key)


def _missing(bot: TelegramBot, token: str | None, secret: str | None) -> str | None:
    if token is None:
        where = bot.token_file or bot.token_env
        return f"{where} is not set" if where else "it has no token; write token_env: NAME_OF_A_VARIABLE, or token_file"
    if bot.mode == "webhook" and secret is None:
        where = bot.secret_file or bot.secret_env
        what = f"{where} is not set" if where else "it has no secret; write secret_env: NAME_OF_A_VARIABLE, or secret_file"
        return f"{what} (with mode: polling none is needed)"
    return None


def _wrong(token: str | None, secret: str | None) -> str | None:
    if token is not None and not _TOKEN.match(token):
        return "its token is not of the form BotFather gives, such as 1234567890:AA…"
    if secret is not None and not _SECRET.match(secret):
        return "its secret may have 1 to 256 letters, digits, _ and - alone"
    return None


def _twice(bots: Sequence[TelegramBot]) -> Sequence[tuple[str, str]]:
    seen: set[str] = set()
    found: list[tuple[str, str]] = []
    for index, bot in enumerate(bots):
        if bot.name in seen:
            found.append((f"channels.telegram.bots[{index}].name", f"there is another bot {bot.name}"))
        seen.add(bot.name)
    return found
