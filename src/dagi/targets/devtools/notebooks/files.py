"""Notebooks are read and stored by the tools of files: the same paths, quotas and tags as for everybody."""

from base64 import b64decode
from typing import Any, Final, Protocol

import msgspec

from dagi.errors import Conflict, PayloadTooLarge
from dagi.targets.devtools.tool import Call, Kit, Tool

LARGEST: Final = 4 << 20
_AT_ONCE: Final = 512 << 10


class Content(msgspec.Struct, frozen=True):
    """A file of a workspace, and the tag of its content; empty where that does not matter."""

    content: bytes
    etag: str


class _Read(msgspec.Struct, frozen=True):
    content: str
    encoding: str
    size: int
    etag: str = ""
    next_offset: int | None = None


class _Written(Protocol):
    etag: str


class Files:
    """The tools `fs_read` and `fs_write` of a kit."""

    def __init__(self, kit: Kit) -> None:
        tools: dict[str, Tool[Any, Any]] = {tool.name: tool for tool in kit.tools()}
        self._read = tools["fs_read"]
        self._write = tools["fs_write"]

    async def read(self, call: Call, workspace: str, path: str) -> Content:
        """A file, as a whole. Raises as fs_read.

        Raises:
            PayloadTooLarge: it has more than LARGEST bytes.
            Conflict: it is changed while it is read.
        """
        parts: list[bytes] = []
        offset: int | None = 0
        etag = ""
        while offset is not None:
            wanted = {"workspace": workspace, "path": path, "offset": offset, "max_bytes": _AT_ONCE}
            given = await self._read.work(call, msgspec.convert(wanted, self._read.takes))
            part = msgspec.convert(given, _Read, from_attributes=True)
            if part.size > LARGEST:
                raise PayloadTooLarge(f"A notebook has {LARGEST} bytes at most.", field="params.path", limit_bytes=LARGEST)
            if offset and part.etag != etag:
                raise Conflict("Somebody changes the notebook at this moment; try again.")
            parts.append(b64decode(part.content) if part.encoding == "base64" else part.content.encode())
            offset, etag = part.next_offset, part.etag
        return Content(b"".join(parts), etag)

    async def write(self, call: Call, workspace: str, path: str, content: Content) -> str:
        """Write the file, if it is still the one with that tag; its new tag. Raises as fs_write."""
        wanted = {"workspace": workspace, "path": path, "content": content.content.decode()}
        if content.etag:
            wanted["if_match"] = content.etag
        written: _Written = await self._write.work(call, msgspec.convert(wanted, self._write.takes))
        return written.etag
