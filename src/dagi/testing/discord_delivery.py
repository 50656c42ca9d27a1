"""How the scripted Discord signs what it delivers, and posts it (…/developers/interactions/overview#setting-up-an-endpoint)."""

import asyncio
from collections.abc import Mapping
from typing import Final, Literal
from urllib.parse import urlsplit

import httptools
from nacl.signing import SigningKey

_KEY: Final = SigningKey(bytes(range(32)))
_OTHER: Final = SigningKey(bytes(range(1, 33)))
# Nobody's; for the configuration.
PUBLIC_KEY: Final = bytes(_KEY.verify_key).hex()
# What can be wrong with the proof that an interaction comes from Discord.
Fault = Literal["", "unsigned", "undated", "other_key", "other_body", "other_time", "short", "not_hex", "stale", "ahead", "no_number"]
FAULTS: Final[tuple[Fault, ...]] = (
    "unsigned", "undated", "other_key", "other_body", "other_time", "short", "not_hex", "stale", "ahead", "no_number",
)  # fmt: skip
_STALE_S: Final = 3600


def signed(body: bytes, at: float, fault: Fault = "") -> dict[str, str]:
    """The headers of a delivery.

    Args:
        at: seconds since 1970.
    """
    moved = {"stale": -_STALE_S, "ahead": _STALE_S}.get(fault, 0)
    timestamp = "now" if fault == "no_number" else str(int(at) + moved)
    key = _OTHER if fault == "other_key" else _KEY
    content = {"other_body": body + b" ", "other_time": body}.get(fault, body)
    signature = key.sign((f"{timestamp}0" if fault == "other_time" else timestamp).encode() + content).signature.hex()
    signature = {"short": signature[:-2], "not_hex": "z" * 128}.get(fault, signature)
    headers = {"Content-Type": "application/json", "X-Signature-Ed25519": signature, "X-Signature-Timestamp": timestamp}
    for name in {"unsigned": ["X-Signature-Ed25519"], "undated": ["X-Signature-Timestamp"]}.get(fault, []):
        del headers[name]
    return headers


async def post(url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
    """One request over a connection of its own; gives status, headers by their names in lower case, and body.

    Raises:
        OSError: nobody answers there, or not over HTTP.
    """
    parts = urlsplit(url)
    address = parts.hostname or "", parts.port or 80
    told = {"Host": parts.netloc, "User-Agent": "Discord-Interactions/1.0 (+https://discord.com)", "Connection": "close", **headers}
    lines = [f"POST {parts.path or '/'} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), f"Content-Length: {len(body)}"]
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return await _read(reader)
    finally:
        writer.close()


class _Reply:
    def __init__(self) -> None:
        self.headers: dict[str, str] = {}
        self.body = b""
        self.over = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.over = True


async def _read(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    reply = _Reply()
    parser = httptools.HttpResponseParser(reply)
    try:
        while not reply.over:
            data = await reader.read(65536)
            if not data:
                raise ConnectionError("the connection ended before the answer did")
            parser.feed_data(data)
    except httptools.HttpParserError as error:
        raise ConnectionError("that is no answer over HTTP") from error
    return parser.get_status_code(), reply.headers, reply.body
