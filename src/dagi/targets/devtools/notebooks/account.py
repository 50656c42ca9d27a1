"""What is told of a notebook's execution. A line may be forged: bounds hold whatever it says, and its author alone is fooled."""

from typing import Final, get_args

import msgspec

from dagi.ports.devtools import Hear
from dagi.targets.devtools.notebooks.forms import CellOutcome, Outcome
from dagi.targets.devtools.texts import clipped

# More than a notebook of the largest size can have.
_CELLS: Final = 100_000
_MESSAGE: Final = 2000
_CELL_OUTCOMES: Final = frozenset(get_args(CellOutcome)) - {"unfinished", "not_run"}
# How it says itself that it ended; the other outcomes are seen from outside.
_SAID: Final = frozenset({"ok", "error", "timed_out", "died", "output_limit", "refused"})


class _Line(msgspec.Struct, frozen=True):
    kind: str
    index: int = 0
    outcome: str = ""
    seconds: float = 0.0
    count: int = 0
    message: str = ""


_LINES = msgspec.json.Decoder(_Line)


class Account:
    """What was told so far.

    Attributes:
        ended: cells that have ended, by their index: outcome and seconds.
        running: the cell that has begun and not ended.
        outcome: that of all; None where the end was not told.
    """

    def __init__(self, hear: Hear) -> None:
        self._hear = hear
        self.ended: dict[int, tuple[CellOutcome, float]] = {}
        self.running: int | None = None
        self.outcome: Outcome | None = None
        self.refused = ""

    def line(self, line: bytes) -> None:
        """The next line; one that cannot be read says nothing."""
        try:
            said = _LINES.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return
        if said.kind == "start":
            self._hear({"kind": "start", "count": min(max(said.count, 0), _CELLS)})
        elif said.kind == "begin" and 0 <= said.index < _CELLS:
            self.running = said.index
            self._hear({"kind": "cell", "index": said.index, "outcome": "running"})
        elif said.kind == "cell" and 0 <= said.index < _CELLS and said.outcome in _CELL_OUTCOMES:
            self.running, seconds = None, min(max(said.seconds, 0.0), 1e6)
            self.ended[said.index] = msgspec.convert(said.outcome, CellOutcome), seconds
            self._hear({"kind": "cell", "index": said.index, "outcome": said.outcome, "seconds": seconds})
        elif said.kind == "refused":
            self.refused = clipped(said.message, _MESSAGE)
        elif said.kind == "finish" and said.outcome in _SAID:
            self.outcome = msgspec.convert(said.outcome, Outcome)
