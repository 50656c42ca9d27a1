"""What a run says: its output, kept to a bound, and the lines of its report."""

import os
from collections.abc import Callable
from typing import Final

_PIECE: Final = 65_536
LONGEST_LINE: Final = 65_536


class Pipe:
    """One end that is read until everybody has closed the other.

    Args:
        bound: how many bytes are kept and heard. What comes after them is thrown away.
        flood: so many bytes are too many.
        hear: told of each piece.
        flooded: called once, when too many came.

    Attributes:
        ended: nothing will come any more.
    """

    def __init__(self, descriptor: int, bound: int, flood: int, hear: Callable[[bytes], None], flooded: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._bound = bound
        self._flood = flood
        self._hear = hear
        self._flooded = flooded
        self._came = 0
        self._kept: list[bytes] = []
        self.ended = False

    @property
    def kept(self) -> bytes:
        """The first bytes that came, as many as are kept."""
        return b"".join(self._kept)

    @property
    def cut(self) -> bool:
        """More came than is kept."""
        return self._came > self._bound

    def read(self) -> bool:
        """Read what is there; whether more may come."""
        try:
            piece = os.read(self._descriptor, _PIECE)
        except BlockingIOError:
            return True
        if not piece:
            self.ended = True
            return False
        room = self._bound - self._came
        if self._came < self._flood <= self._came + len(piece):
            self._flooded()
        self._came += len(piece)
        if room > 0:
            self._kept.append(piece[:room])
            self._hear(piece[:room])
        return True


class Lines:
    """Lines from pieces. One that is too long is left out as a whole."""

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        self._hear = hear
        self._rest = b""
        self._skipping = False

    def feed(self, piece: bytes) -> None:
        """Take the next piece."""
        *lines, rest = (self._rest + piece).split(b"\n")
        for line in lines:
            if not self._skipping and len(line) <= LONGEST_LINE:
                self._hear(line)
            self._skipping = False
        self._skipping = self._skipping or len(rest) > LONGEST_LINE
        self._rest = b"" if self._skipping else rest
