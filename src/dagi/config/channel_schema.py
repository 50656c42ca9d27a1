"""The section about channels: bots and applications of platforms, each bound to a DAO."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from dagi.config.identity_schema import WebAddress
from dagi.config.section import Name, Section, Text, named

_CHAT = re.compile(r"-?[0-9]{1,19}\Z")
_PATH = re.compile(r"[A-Za-z0-9_.-]+\Z")
_USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,31}\Z")
# Discord's ids: https://docs.discord.com/developers/reference#snowflakes
_SNOWFLAKE = re.compile(r"[0-9]{15,20}\Z")
_KEY = re.compile(r"[0-9a-fA-F]{64}\Z")


def _chat(text: str) -> str:
    if not _CHAT.match(text):
        raise ValueError('must be the id of a chat in quotes, such as "-1001234567890"')
    return text


def _username(text: str) -> str:
    if not _USERNAME.match(text.removeprefix("@")):
        raise ValueError("must be the name BotFather gave the bot, such as greenfood_bot")
    return text.removeprefix("@")


def _snowflake(text: str) -> str:
    if not _SNOWFLAKE.match(text):
        raise ValueError('must be an id of Discord in quotes, such as "1100000000000000001"')
    return text


def _key(text: str) -> str:
    if not _KEY.match(text):
        raise ValueError("must be the application's public key, 64 hexadecimal digits, from the page General Information at Discord")
    return text.lower()


Snowflake = Annotated[str, AfterValidator(_snowflake)]


def _in_path(text: str) -> str:
    if not _PATH.match(named(text)):
        raise ValueError("must be letters, digits or any of . _ - alone: it is part of an address, such as /telegram/webhook/main")
    return text


# Names a bot in the address to which its platform delivers.
BotName = Annotated[str, AfterValidator(_in_path)]


class Chat(Section):
    """A chat with a binding of its own.

    Attributes:
        dao_id: the bot's where null.
        mention_only: hear those alone who address the bot; the bot's where null.
    """

    dao_id: Name | None = None
    mention_only: bool | None = None


class TelegramBot(Section):
    """A bot of Telegram.

    Attributes:
        dao_id: the DAO of every chat that has no binding of its own.
        username: asked of Telegram where null.
        token_env, token_file: BotFather's token.
        secret_env, secret_file: what Telegram sends with every update (setWebhook's secret_token); for webhooks.
        mode: updates come to `/telegram/webhook`, or are fetched, which needs no public address.
        mention_only: in groups hear those alone who address the bot.
        chats: by their ids.
    """

    name: BotName
    dao_id: Name
    username: Annotated[str, AfterValidator(_username)] | None = None
    token_env: Text | None = None
    token_file: Text | None = None
    secret_env: Text | None = None
    secret_file: Text | None = None
    mode: Literal["webhook", "polling"] = "webhook"
    mention_only: bool = True
    chats: Mapping[Annotated[str, AfterValidator(_chat)], Chat] = Field(default_factory=dict)


class Telegram(Section):
    """Telegram's bots.

    Attributes:
        api_base_url: Telegram's own, or that of a Bot API server of one's own.
    """

    api_base_url: WebAddress = "https://api.telegram.org"
    bots: Annotated[tuple[TelegramBot, ...], Field(strict=False)] = ()


class Guild(Section):
    """A server of Discord with a binding of its own.

    Attributes:
        dao_id: the application's where null.
    """

    dao_id: Name | None = None


class DiscordApplication(Section):
    """An application of Discord.

    Attributes:
        dao_id: the DAO of every server that has no binding of its own, and of private messages.
        public_key: with which Discord's signatures are checked; 64 hexadecimal digits.
        bot_token_env, bot_token_file: the bot's token, to register commands and to write without having been asked.
        guilds: by their ids.
        mentions: also hear what mentions the bot and what is written to it in private, over a connection of its own (the extra `discord`).
    """

    name: BotName
    dao_id: Name
    application_id: Snowflake
    public_key: Annotated[str, AfterValidator(_key)]
    bot_token_env: Text | None = None
    bot_token_file: Text | None = None
    guilds: Mapping[Snowflake, Guild] = Field(default_factory=dict)
    mentions: bool = False


class Discord(Section):
    """Discord's applications.

    Attributes:
        api_base_url: Discord's own, or that of a server that stands for it.
    """

    api_base_url: WebAddress = "https://discord.com/api/v10"
    applications: Annotated[tuple[DiscordApplication, ...], Field(strict=False)] = ()


class Channels(Section):
    """Where people speak with the stack."""

    telegram: Telegram = Telegram()
    discord: Discord = Discord()
