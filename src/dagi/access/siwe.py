"""Sign-In with Ethereum (EIP-4361): the message a wallet shows and signs. Strict: what is read can be written in one way only, and that
is what was read.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from dagi.access.wallets import checksummed, wallet_identity
from dagi.errors import Gone, Invalid

MAX_MESSAGE: Final = 4096
LIFETIME: Final = timedelta(minutes=10)
# Clocks of phones are a little off.
SKEW: Final = timedelta(seconds=60)

# Whoever writes a message chooses every character of it, so nothing here is ever tried in a second way: what has matched is kept
# (`*+`, `(?>…)`). An authority that could give a character back to the path would make some resources take longer than the world stands.
_SCHEME: Final = r"[A-Za-z][A-Za-z0-9+.-]{0,31}"
_PCHAR: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=:@-]|%[0-9A-Fa-f]{2})"
_HOST: Final = r"(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})++|\[[0-9A-Fa-f:.]++\]"
_AUTHORITY: Final = rf"(?:(?:[A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{{2}})*+@)?(?:{_HOST})(?::[0-9]{{0,5}}+)?"
# RFC 3986, with an authority: nothing else can be a page where somebody signs in, or a resource of one.
_PATH: Final = rf"(?:{_PCHAR}|/)*+(?:\?(?:{_PCHAR}|[/?])*+)?(?:#(?:{_PCHAR}|[/?])*+)?"
_URI: Final = rf"(?>{_SCHEME}:(?://(?:{_AUTHORITY}))?{_PATH})"
_TIME: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
_MESSAGE: Final = re.compile(
    rf"(?:(?P<scheme>{_SCHEME})://)?(?P<domain>{_AUTHORITY}) wants you to sign in with your Ethereum account:\n"
    r"(?P<address>0x[0-9a-fA-F]{40})\n\n"
    r"(?:(?P<statement>[A-Za-z0-9:/?#\[\]@!$&'()*+,;=._~ -]+)\n)?\n"
    rf"URI: (?P<uri>{_URI})\n"
    r"Version: 1\n"
    r"Chain ID: (?P<chain_id>[0-9]{1,19})\n"
    r"Nonce: (?P<nonce>[A-Za-z0-9]{8,128})\n"
    rf"Issued At: (?P<issued_at>{_TIME})"
    rf"(?:\nExpiration Time: (?P<expiration_time>{_TIME}))?"
    rf"(?:\nNot Before: (?P<not_before>{_TIME}))?"
    rf"(?:\nRequest ID: (?P<request_id>{_PCHAR}*+))?"
    rf"(?P<resources>\nResources:(?:\n- {_URI})*+)?\Z"
)


class SiweMessage(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of a message, as they stand in it; None where one is left out. `address` is in EIP-55's spelling."""

    domain: str
    address: str
    uri: str
    chain_id: int
    nonce: str
    issued_at: str
    scheme: str | None = None
    statement: str | None = None
    expiration_time: str | None = None
    not_before: str | None = None
    request_id: str | None = None
    resources: tuple[str, ...] | None = None

    def text(self) -> str:
        """What the wallet shows and signs."""
        optional = (("Expiration Time", self.expiration_time), ("Not Before", self.not_before), ("Request ID", self.request_id))
        lines = [
            f"{f'{self.scheme}://' if self.scheme else ''}{self.domain} wants you to sign in with your Ethereum account:",
            self.address,
            "",
            *([self.statement] if self.statement is not None else []),
            "",
            f"URI: {self.uri}",
            "Version: 1",
            f"Chain ID: {self.chain_id}",
            f"Nonce: {self.nonce}",
            f"Issued At: {self.issued_at}",
            *(f"{name}: {value}" for name, value in optional if value is not None),
        ]
        if self.resources is not None:
            lines += ["Resources:", *(f"- {resource}" for resource in self.resources)]
        return "\n".join(lines)


def parse(text: str) -> SiweMessage:
    """Read a message.

    Raises:
        Invalid: it is not one, to the letter.
    """
    match = _MESSAGE.match(text) if len(text) <= MAX_MESSAGE else None
    if match is None:
        raise Invalid("This is no Sign-In with Ethereum message (EIP-4361). Sign the text of the challenge as it is.", field="message")
    found = match.groupdict()
    resources = found.pop("resources")
    message = SiweMessage(
        **{name: value for name, value in found.items() if name != "chain_id"},
        chain_id=int(found["chain_id"]),
        resources=None if resources is None else tuple(line[2:] for line in resources.split("\n")[2:]),
    )
    wallet_identity(message.address)
    # An address without its capitals would be a second spelling; a number with zeros before it, too. Some addresses' checksum has none.
    if message.text() != text or message.address != checksummed(message.address):
        raise Invalid("The message is not written in the one way EIP-4361 allows: a checksummed address, plain numbers.", field="message")
    for name in ("issued_at", "expiration_time", "not_before"):
        time(getattr(message, name), name)
    return message


def time(text: str | None, field: str) -> datetime | None:
    """A time of the message, aware. Parts of a second beyond millionths are cut off.

    Raises:
        Invalid: there is no such time.
    """
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(f"The message's {field.replace('_', ' ')} is no time there is.", field="message") from error


class Challenge(msgspec.Struct, frozen=True, kw_only=True):
    """What the stack has asked for: the only message that counts is one that says all of it.

    Attributes:
        chain_ids: those the wallet may name.
        began, ends: when it was given, and until when it counts; aware.
    """

    domain: str
    uri: str
    statement: str
    nonce: str
    request_id: str
    chain_ids: Sequence[int]
    began: datetime
    ends: datetime


def check(message: SiweMessage, challenge: Challenge, now: datetime) -> None:
    """Make sure that the message is an answer to the challenge, and that it counts now.

    Raises:
        Invalid: it says something else; names what.
        Gone: its time is over.
    """
    asked = {
        "domain": challenge.domain,
        "uri": challenge.uri,
        "statement": challenge.statement,
        "nonce": challenge.nonce,
        "request_id": challenge.request_id,
        "not_before": None,
        "resources": None,
    }
    for name, wanted in asked.items():
        if getattr(message, name) != wanted:
            raise _wrong(name.replace("_", " "))
    if message.scheme not in {None, challenge.uri.partition(":")[0]}:
        raise _wrong("scheme")
    if message.chain_id not in challenge.chain_ids:
        raise _wrong("chain id", allowed=sorted(challenge.chain_ids))
    issued, ends = time(message.issued_at, "issued_at"), time(message.expiration_time, "expiration_time")
    if issued is None or not challenge.began - SKEW <= issued <= now + SKEW:
        raise _wrong("time of issue")
    if ends is None or ends > issued + LIFETIME + SKEW:
        raise _wrong("expiration time")
    if min(ends, challenge.ends) <= now:
        raise Gone("The message's time is over. Ask for a new challenge and sign that.")


def _wrong(what: str, **facts: object) -> Invalid:
    sentence = f"The message's {what} is not what the challenge asked for. Sign the text of the challenge as it is."
    return Invalid(sentence, field="message", **facts)
