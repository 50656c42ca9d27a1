"""The forms ids have to have. Ids reach logs, file names and terminals, so nothing odd gets in."""

import re
from functools import lru_cache
from typing import Final

from dagi.errors import Invalid

_DAO: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")
# A wallet has one spelling, in lower case; its checksummed one would be another account.
_IDENTITY: Final = re.compile(r"(?!eth:)[a-z]{2,10}:[A-Za-z0-9._@+-]{1,128}\Z|eth:0x[0-9a-f]{40}\Z")
_SESSION: Final = re.compile(r"[\x21-\x7e]{1,200}\Z")
_ROLE: Final = re.compile(r"[a-z][a-z0-9_-]{0,63}\Z")
_CHATS: Final = {"telegram": re.compile(r"-?[0-9]{1,19}\Z"), "discord": re.compile(r"[0-9]{15,20}\Z")}
CHANNELS: Final = tuple(_CHATS)
NAME_MAX: Final = 200
# Requests name the same ids again and again.
_KNOWN: Final = 4096


@lru_cache(maxsize=_KNOWN)
def check_dao(text: str, field: str = "dao_id") -> str:
    """A DAO's id.

    Raises:
        Invalid: it is none.
    """
    if not _DAO.match(text):
        raise Invalid("A DAO's id has 1 to 64 lower-case letters, digits, dots, dashes or underscores.", field=field)
    return text


@lru_cache(maxsize=_KNOWN)
def check_identity(text: str, field: str = "user_id") -> str:
    """An account on some platform, `<kind>:<id>`, for example `tg:12345`.

    Raises:
        Invalid: it is none.
    """
    if not _IDENTITY.match(text):
        if text.startswith("eth:"):
            raise Invalid("A wallet is named eth:0x and 40 hexadecimal digits in lower case.", field=field)
        raise Invalid("A user is named <kind>:<id>, for example tg:12345, of letters, digits and . _ @ + -.", field=field)
    return text


@lru_cache(maxsize=_KNOWN)
def check_session(text: str, field: str = "session_id") -> str:
    """A session's id: up to 200 printable ASCII characters without spaces.

    Raises:
        Invalid: it is none.
    """
    if not _SESSION.match(text):
        raise Invalid("A session id has 1 to 200 printable ASCII characters without spaces.", field=field)
    return text


def check_role(text: str, field: str = "role") -> str:
    """A role's name.

    Raises:
        Invalid: it is none.
    """
    if not _ROLE.match(text):
        raise Invalid("A role's name has 1 to 64 lower-case letters, digits, dashes or underscores.", field=field)
    return text


def check_name(text: str, field: str = "name") -> str:
    """A name shown to people: one line, not empty, at most 200 characters.

    Raises:
        Invalid: it is none.
    """
    clean = " ".join(text.split())
    if not clean or len(clean) > NAME_MAX or not clean.isprintable():
        # Which one it is cannot be seen: most of these show nothing, or turn text about.
        odd = next((f" Its character {place} is U+{ord(one):04X}." for place, one in enumerate(clean, 1) if not one.isprintable()), "")
        raise Invalid(f"A {field} has 1 to {NAME_MAX} printable characters.{odd}", field=field)
    return clean


def check_chat(channel: str, text: str, field: str = "chat") -> str:
    """A chat's id on a platform; on Discord a server's or a channel's.

    Raises:
        Invalid: it is none, or there is no such channel.
    """
    form = _CHATS.get(channel)
    if form is None:
        raise Invalid(f"There is no channel {channel[:40]!r}.", field="channel", allowed=sorted(_CHATS))
    if not form.match(text):
        what = "a number such as -1001234567890" if channel == "telegram" else "the number that Discord gives a server or a channel"
        raise Invalid(f"The id of a chat is {what}.", field=field)
    return text
