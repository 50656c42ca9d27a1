"""Discord's applications of the configuration, with the secrets they lead to."""

import re
from collections.abc import Mapping, Sequence
from importlib.util import find_spec

import msgspec

from dagi.config import Loaded
from dagi.config.channel_schema import DiscordApplication
from dagi.errors import ConfigError

# https://docs.discord.com/developers/reference#authentication shows one; its parts are Base64.
_TOKEN = re.compile(r"[A-Za-z0-9_-]{10,100}(?:\.[A-Za-z0-9_-]{4,200}){2}\Z")


class ApplicationPlan(msgspec.Struct, frozen=True, kw_only=True):
    """An application that can work.

    Attributes:
        token: the bot's; empty for one that only answers where it was asked.
    """

    settings: DiscordApplication
    token: str = ""

    def __repr__(self) -> str:
        return f"ApplicationPlan({self.settings.name})"

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return bytes.fromhex(self.settings.public_key)

    def dao_of(self, guild: str) -> str:
        """The DAO of a server; of private messages where it is empty."""
        own = self.settings.guilds.get(guild)
        return own.dao_id if own is not None and own.dao_id is not None else self.settings.dao_id


class Applications(msgspec.Struct, frozen=True, kw_only=True):
    """All that can work, and what the operator should hear about them."""

    plans: tuple[ApplicationPlan, ...] = ()
    notes: tuple[str, ...] = ()


def read_applications(loaded: Loaded) -> Applications:
    """Read them.

    Raises:
        ConfigError: with every mistake, at file and line.
    """
    plans: list[ApplicationPlan] = []
    notes: list[str] = []
    settings = loaded.settings
    mistakes = [*_twice(settings.channels.discord.applications)]
    for index, application in enumerate(settings.channels.discord.applications):
        path = f"channels.discord.applications[{index}]"
        section: Mapping[str, object] = {"bot_token_env": application.bot_token_env, "bot_token_file": application.bot_token_file}
        try:
            token = loaded.environment.secret(section, "bot_token")
        except ConfigError as error:
            mistakes.append((path, error.message))
            continue
        where = application.bot_token_file or application.bot_token_env
        if token is None and where and settings.environment != "development":
            mistakes.append((path, f"{where} is not set"))
        elif application.mentions and find_spec("discord") is None:
            mistakes.append((f"{path}.mentions", "mentions need discord.py: install dagi-stack[discord], or write mentions: false"))
        elif application.mentions and token is None and not where:
            mistakes.append(
                (f"{path}.mentions", "mentions need the bot's token; write bot_token_env: NAME_OF_A_VARIABLE, or bot_token_file")
            )
        elif token is not None and not _TOKEN.match(token):
            mistakes.append((path, "its bot token is not of the form Discord gives, three parts with dots between"))
        else:
            if token is None:
                why = f"{where} is not set" if where else "it has no bot_token_env"
                notes.append(f"{path}: {application.name} answers for 15 minutes after it was asked and not later: {why}")
            plans.append(ApplicationPlan(settings=application, token=token or ""))
    if mistakes:
        raise loaded.origins.error(mistakes)
    return Applications(plans=tuple(plans), notes=tuple(notes))


def _twice(applications: Sequence[DiscordApplication]) -> Sequence[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for key in ("name", "application_id"):
        seen: set[str] = set()
        for index, application in enumerate(applications):
            value = str(getattr(application, key))
            if value in seen:
                found.append((f"channels.discord.applications[{index}].{key}", f"there is another application with {value}"))
            seen.add(value)
    return found
