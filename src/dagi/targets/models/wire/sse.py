"""Server-sent events: frames out of bytes. Never awaits."""

from typing import NamedTuple

from dagi.targets.models.wire import FRAME_LIMIT, WireError
from dagi.targets.models.wire.lines import Lines

_BOM = b"\xef\xbb\xbf"


class Frame(NamedTuple):
    """One event: its name (empty for a plain message) and its data, lines joined by LF."""

    event: bytes
    data: bytes


class SseDecoder:
    """Cuts an event stream into frames; lenient about line ends, comments, unknown fields and a missing last blank line.

    Args:
        limit: bytes one frame may have.

    Attributes:
        failed: a frame was too long; frames before it have been returned.
    """

    def __init__(self, limit: int = FRAME_LIMIT) -> None:
        self.failed: WireError | None = None
        self._limit = limit
        self._lines = Lines()
        self._first = True
        self._event = b""
        self._data: list[bytes] = []
        self._size = 0

    @property
    def idle(self) -> bool:
        """Whether nothing of a frame has come yet."""
        return not self._lines.rest and not self._data and not self._event

    def feed(self, data: bytes) -> list[Frame]:
        """The frames these bytes complete. After a mistake nothing more is decoded."""
        frames: list[Frame] = []
        if self.failed is None:
            for line in self._lines.feed(data):
                self._take(line, frames)
                if self.failed is not None:
                    return frames
            self._within(len(self._lines.rest))
        return frames

    def finish(self) -> list[Frame]:
        """The frame that was open when the stream ended: many servers leave the last blank line out."""
        frames: list[Frame] = []
        if self.failed is None:
            if self._lines.rest:
                self._take(self._lines.rest, frames)
                self._lines.rest = b""
            self._take(b"", frames)
        return frames

    def _take(self, line: bytes, frames: list[Frame]) -> None:
        if self._first:
            self._first = False
            line = line.removeprefix(_BOM)
        if not line:
            if self._data:
                frames.append(Frame(self._event, self._data[0] if len(self._data) == 1 else b"\n".join(self._data)))
            self._event, self._data, self._size = b"", [], 0
            return
        if not self._within(len(line)):
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._size += len(line)
        elif name == b"event":
            self._event = value

    def _within(self, more: int) -> bool:
        if self._size + more > self._limit:
            self.failed = WireError(f"an event of the stream is longer than {self._limit} bytes")
            return False
        return True
