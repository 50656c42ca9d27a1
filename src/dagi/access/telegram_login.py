"""What Telegram signs about an account: the login button's fields and a mini app's `initData`. Checked with the bot's token.

Sources: core.telegram.org/widgets/login#checking-authorization,
core.telegram.org/bots/webapps#validating-data-received-via-the-mini-app.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.parse import parse_qsl

import msgspec

from dagi.errors import Gone, Invalid

LIFETIME: Final = timedelta(minutes=10)
SKEW: Final = timedelta(seconds=30)
MAX_DATA: Final = 8192
MAX_FIELDS: Final = 32
_HASH: Final = re.compile(r"[0-9a-f]{64}\Z")
# Ids have up to 52 bits; no leading zeros, so that an account has one spelling.
_ID: Final = re.compile(r"[1-9][0-9]{0,15}\Z")
_DATE: Final = re.compile(r"[1-9][0-9]{8,10}\Z")


class TelegramProof(msgspec.Struct, frozen=True):
    """A proved account.

    Attributes:
        identity: `tg:<id>`.
        digest: of what was signed, so that it is taken once only.
        ends: when it would be too old anyway.
    """

    identity: str
    digest: bytes
    ends: datetime


class _User(msgspec.Struct):
    id: int
    is_bot: bool = False


def prove_login(fields: Mapping[str, object], token: str, now: datetime) -> TelegramProof:
    """Check the fields of the login button, as Telegram gave them to the page; numbers may be numbers or texts.

    Raises:
        Invalid: they are not of that form, or not signed for this bot.
        Gone: they are older than ten minutes.
    """
    if len(fields) > MAX_FIELDS:
        raise _malformed()
    values: dict[str, str] = {}
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise _malformed()
        values[name] = str(value)
    if sum(len(name) + len(value) for name, value in values.items()) > MAX_DATA:
        raise _malformed()
    proof = _checked(values, hashlib.sha256(token.encode()).digest(), now)
    return TelegramProof(_identity(values.get("id", "")), *proof)


def prove_mini_app(init_data: str, token: str, now: datetime) -> TelegramProof:
    """Check a mini app's `initData`, the query string as the app has it.

    Raises:
        Invalid: it is not of that form, or not signed for this bot.
        Gone: it is older than ten minutes.
    """
    if len(init_data) > MAX_DATA:
        raise _malformed()
    try:
        pairs = parse_qsl(init_data, keep_blank_values=True, strict_parsing=True, max_num_fields=MAX_FIELDS, errors="strict")
    except (ValueError, UnicodeError) as error:
        raise _malformed() from error
    values = dict(pairs)
    if len(values) != len(pairs):
        raise _malformed()
    proof = _checked(values, hmac.digest(b"WebAppData", token.encode(), "sha256"), now)
    try:
        user = msgspec.json.decode(values.get("user", ""), type=_User)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise _malformed() from error
    if user.is_bot:
        raise _malformed()
    return TelegramProof(_identity(str(user.id)), *proof)


def _checked(values: Mapping[str, str], key: bytes, now: datetime) -> tuple[bytes, datetime]:
    """The digest of what was signed, and when it is too old."""
    given = values.get("hash", "")
    # A line break in a value would let two different sets of fields be the same text.
    if not _HASH.match(given) or any("\n" in name + value or "=" in name for name, value in values.items()):
        raise _malformed()
    signed = "\n".join(f"{name}={value}" for name, value in sorted(values.items()) if name != "hash")
    try:
        expected = hmac.new(key, signed.encode(), hashlib.sha256).hexdigest()
    except UnicodeError as error:
        raise _malformed() from error
    if not hmac.compare_digest(expected, given):
        raise Invalid("Telegram has not signed this for our bot. Begin again with the button of the bot.", field="hash")
    date = values.get("auth_date", "")
    if not _DATE.match(date):
        raise _malformed()
    at = datetime.fromtimestamp(int(date), UTC)
    if at > now + SKEW:
        raise Invalid("Telegram's signature is from the future. Check the clock of this machine.", field="auth_date")
    if at + LIFETIME <= now:
        raise Gone("Telegram's signature is older than ten minutes. Begin again with the button of the bot.")
    return hashlib.sha256(given.encode()).digest(), at + LIFETIME + SKEW


def _identity(text: str) -> str:
    if not _ID.match(text):
        raise _malformed()
    return f"tg:{text}"


def _malformed() -> Invalid:
    return Invalid("That is not what Telegram gives. Pass it on as it came.", field="data")
