"""Just enough of a WebSocket server (RFC 6455) for the scripted Discord's gateway."""

import asyncio
import hashlib
import struct
import zlib
from base64 import b64encode
from typing import Final

_MAGIC: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 1, 2, 8, 9, 10


class WebSocket:
    """One connection, seen from the server.

    Attributes:
        path: what the client asked for, with its query.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> None:
        self.path = path
        self._reader = reader
        self._writer = writer
        # All messages of a connection are one stream of zlib's.
        self._zlib = zlib.compressobj() if "compress=zlib-stream" in path else None

    async def receive(self) -> str | None:
        """The next text; None once the client has closed."""
        while True:
            first, second = await self._reader.readexactly(2)
            length = second & 127
            if length > 125:
                size = {126: "!H", 127: "!Q"}[length]
                (length,) = struct.unpack(size, await self._reader.readexactly(struct.calcsize(size)))
            mask = await self._reader.readexactly(4)
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await self._reader.readexactly(length)))
            kind = first & 15
            if kind == _CLOSE:
                self._send(_CLOSE, data[:2])
                return None
            if kind == _PING:
                self._send(_PONG, data)
            elif kind == _TEXT:
                return data.decode()

    def send(self, text: str) -> None:
        """Send a text, compressed where the client wants it so."""
        if self._zlib is None:
            self._send(_TEXT, text.encode())
        else:
            self._send(_BINARY, self._zlib.compress(text.encode()) + self._zlib.flush(zlib.Z_SYNC_FLUSH))

    def close(self, code: int) -> None:
        """Close in order, with a code."""
        self._send(_CLOSE, struct.pack("!H", code))

    def abort(self) -> None:
        """Break off."""
        self._writer.transport.abort()

    def _send(self, kind: int, data: bytes) -> None:
        length = len(data)
        if length < 126:
            head = bytes((128 | kind, length))
        else:
            head = struct.pack("!BBH", 128 | kind, 126, length) if length < 65536 else struct.pack("!BBQ", 128 | kind, 127, length)
        self._writer.write(head + data)


async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> WebSocket:
    """Shake hands.

    Raises:
        ValueError: the client wants no WebSocket.
    """
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    key = headers.get("sec-websocket-key", "")
    if not key:
        raise ValueError(first)
    token = b64encode(hashlib.sha1(key.encode() + _MAGIC, usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {token}"]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    return WebSocket(reader, writer, first.split()[1])
