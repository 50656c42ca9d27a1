"""From the head of a request to a visit: which endpoint, and whether the head can be believed. Never awaits."""

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote

import httptools

from dagi.errors import Invalid

_ONCE: Final = frozenset(
    {
        *(b"host", b"authorization", b"content-type", b"content-length", b"origin", b"x-request-id"),
        # With these, platforms prove that it is they who call.
        *(b"x-telegram-bot-api-secret-token", b"x-signature-ed25519", b"x-signature-timestamp"),
    }
)


def split_target(target: bytes) -> tuple[str, bytes]:
    """A request target's path, decoded, and its query, still encoded (RFC 9112, 3.2).

    Raises:
        Invalid: it is no request target.
    """
    if target.startswith(b"/") and b"%" not in target and b"#" not in target:
        path, _, query = target.partition(b"?")
        return path.decode("latin-1"), query
    try:
        url = httptools.parse_url(target)
    except httptools.HttpParserInvalidURLError:
        raise Invalid("The request target is not valid.", field="path") from None
    return unquote((url.path or b"/").decode("latin-1")), url.query or b""


def read_headers(fields: Sequence[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """The headers by name; of one that is there more than once, the last.

    Raises:
        Invalid: one that decides who calls or what is sent is there twice; two readers could each believe another one.
    """
    headers = dict(fields)
    if len(headers) < len(fields):
        _check_repeated(fields)
    return headers


def _check_repeated(fields: Sequence[tuple[bytes, bytes]]) -> None:
    seen: set[bytes] = set()
    for name, _ in fields:
        if name in seen and name in _ONCE:
            raise Invalid(f"The header {name.decode()} is there more than once.", field=name.decode())
        seen.add(name)
