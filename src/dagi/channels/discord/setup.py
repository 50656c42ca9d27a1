"""What an application's owner sets up at Discord: which commands are offered, where interactions go.

Facts: https://docs.discord.com/developers/interactions/application-commands and …/resources/application.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import msgspec

from dagi.catalogue import LANGUAGES, say
from dagi.catalogue.language import DEFAULT
from dagi.channels.discord.api import Api, Refusal
from dagi.channels.discord.reading import ASK

_STRING: Final = 3
_WEBHOOK: Final = "/discord/webhook"
# A server, and private messages with the bot.
_CONTEXTS: Final = (0, 1)
# An answer's first words have to fit before the question's are cut; Discord lets 6,000 be written.
_QUESTION: Final = 2000
_CODE: Final = 100
# In the order in which they are documented; beside each the command of the conversation without which it means nothing.
_OFFERED: Final[Mapping[str, str]] = {
    ASK: "",
    "help": "help",
    "whoami": "whoami",
    "dao": "dao",
    "proposal": "proposals",
    "feedback": "feedback",
    "link": "link",
}
_OWN_WORDS: Final = frozenset({ASK, "proposal"})
_OPTIONS: Final[Mapping[str, Mapping[str, object]]] = {
    ASK: {"type": _STRING, "name": "question", "required": True, "min_length": 1, "max_length": _QUESTION},
    "proposal": {"type": _STRING, "name": "proposal", "autocomplete": True},
    "link": {"type": _STRING, "name": "code", "max_length": _CODE},
}
# What Discord tells of a command beyond what we said, and where what we did not say is its own.
_COMPARED: Final = frozenset(
    [
        "name",
        "type",
        "description",
        "description_localizations",
        "options",
        "required",
        "min_length",
        "max_length",
        "autocomplete",
        "contexts",
    ]
)

Command = Mapping[str, object]


class About(msgspec.Struct, frozen=True, kw_only=True):
    """See https://docs.discord.com/developers/resources/application#application-object."""

    id: str
    name: str = ""
    verify_key: str = ""
    interactions_endpoint_url: str | None = None


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """How an application stands at Discord.

    Attributes:
        commands: names of those that are registered, by server; "" is everywhere.
        wrong: what the owner should do something about, in sentences.
    """

    about: About
    commands: Mapping[str, Sequence[str]]
    wrong: Sequence[str]


def commands(known: Collection[str], *, everywhere: bool = True) -> list[Command]:
    """Our commands as Discord takes them: English, and in each other language we speak.

    Args:
        known: the commands that the conversation knows.
        everywhere: with the places where they are offered, which those of one server have not.
    """
    places = {"contexts": list(_CONTEXTS)} if everywhere else {}
    return [
        {
            "name": name,
            "type": 1,
            **_described(_key(name)),
            **({"options": [_option(_OPTIONS[name])]} if name in _OPTIONS else {}),
            **places,
        }
        for name, needed in _OFFERED.items()
        if not needed or needed in known
    ]


def offered() -> Mapping[str, str]:
    """The commands that people find, each with its sentence in the catalogue."""
    return {name: _key(name) for name in _OFFERED}


async def about(api: Api) -> About:
    """The application, as Discord knows it.

    Raises:
        Refusal: Discord will not tell.
    """
    return msgspec.json.decode(await api.call("GET", "/applications/@me"), type=About)


async def registered(api: Api, application: str, guild: str = "") -> list[dict[str, Any]]:
    """The commands of a server, or those that are everywhere.

    Raises:
        Refusal: Discord will not tell; 403 where the bot is not in that server.
    """
    found = await api.call("GET", f"{_path(application, guild)}?with_localizations=true")
    return msgspec.json.decode(found, type=list[dict[str, Any]])


async def register(api: Api, application: str, wanted: Sequence[Command], guild: str = "") -> bool:
    """Have these offered and no others; False where they are already, and nothing was written.

    Raises:
        Refusal: Discord will not.
    """
    if same(wanted, await registered(api, application, guild)):
        return False
    await api.call("PUT", _path(application, guild), msgspec.json.encode(wanted))
    return True


async def looked_at(api: Api, application: str, public_key: str, guilds: Sequence[str], known: Collection[str]) -> Setting:
    """How the application stands, with its commands in these servers.

    Raises:
        Refusal: Discord will not tell.
    """
    found = await about(api)
    wrong = [*_misplaced(found, application, public_key)]
    if found.id != application:
        # Of another application's commands it may tell nothing.
        return Setting(about=found, commands={}, wrong=wrong)
    offered: dict[str, Sequence[str]] = {}
    for guild in ("", *guilds):
        where = f"in the server {guild}" if guild else "everywhere"
        try:
            there = await registered(api, application, guild)
        except Refusal as refusal:
            if not guild or refusal.status not in {403, 404}:
                raise
            wrong.append(f"the bot is not in the server {guild}; whoever runs that lets it in at {invitation(application)}")
            continue
        if there and not same(commands(known, everywhere=not guild), there):
            wrong.append(f"the commands {where} are not those of this version; run dagi discord register")
        offered[guild] = [str(one.get("name")) for one in there]
    wrong += _offered_wrong(offered)
    return Setting(about=found, commands=offered, wrong=wrong)


def _misplaced(found: About, application: str, public_key: str) -> Iterator[str]:
    if found.id != application:
        yield f"the bot token is that of the application {found.id}, not of {application}; correct application_id or the token"
    elif found.verify_key and found.verify_key != public_key:
        yield f"public_key is not the application's, which is {found.verify_key}; nothing Discord sends is taken until it is"
    url = found.interactions_endpoint_url
    if not url:
        yield "Discord does not know where this stack is; run dagi discord set-endpoint https://…/discord/webhook"
    elif _WEBHOOK not in urlsplit(url).path:
        yield f"interactions go to {url}, which is no {_WEBHOOK} of this stack"


def _offered_wrong(offered: Mapping[str, Sequence[str]]) -> Iterator[str]:
    if not any(offered.values()):
        yield "no commands are registered; run dagi discord register"
    for guild, names in offered.items():
        if guild and (twice := sorted({*names} & {*offered.get("", ())})):
            yield f"members of the server {guild} see {', '.join(twice)} twice, for they are registered everywhere, too"


async def set_endpoint(api: Api, url: str) -> None:
    """Have interactions delivered there. Discord tries it at once: with a ping, and with a wrong signature.

    Raises:
        Refusal: Discord will not, or the endpoint did not answer as it has to.
    """
    await api.call("PATCH", "/applications/@me", msgspec.json.encode({"interactions_endpoint_url": url}))


def same(wanted: Sequence[Command], found: Sequence[Command]) -> bool:
    """Whether these are the commands that we would register."""
    return _compared(wanted) == _compared(found)


def invitation(application: str) -> str:
    """Where somebody who runs a server lets the bot in."""
    return "https://discord.com/oauth2/authorize?" + urlencode({"client_id": application, "scope": "bot applications.commands"})


def _path(application: str, guild: str) -> str:
    return f"/applications/{application}/guilds/{guild}/commands" if guild else f"/applications/{application}/commands"


def _key(name: str) -> str:
    return f"discord.command.{name}" if name in _OWN_WORDS else f"channel.command.{name}"


def _described(key: str) -> dict[str, object]:
    # A name stays the same in every language: what people tell each other to type works for everybody.
    others = {language: say(language, key) for language in LANGUAGES if language != DEFAULT}
    return {"description": say(DEFAULT, key), "description_localizations": others}


def _option(option: Mapping[str, object]) -> Command:
    return {**option, **_described(f"discord.option.{option['name']}")}


def _compared(found: Sequence[Command]) -> dict[str, object]:
    return {str(one.get("name")): _kept(one) for one in found}


def _kept(value: object) -> object:
    """What counts when commands are compared: Discord adds ids and defaults, and gives things back in an order of its own."""
    if isinstance(value, Mapping):
        return {
            name: sorted(one) if name == "contexts" and isinstance(one, list) else _kept(one) if name == "options" else one
            for name, one in value.items()
            if name in _COMPARED and one not in (None, False, [], {})
        }
    return [_kept(one) for one in value] if isinstance(value, Sequence) and not isinstance(value, str) else value
