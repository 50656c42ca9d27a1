"""Tells what happens as JSON lines on the descriptor that was opened for it."""

import fcntl
import json
import os
import re
import sys

REPORT_FD = 3
LINE_BYTES = 60 * 1024
# The last lines have to fit, whatever was told before.
_RESERVE_BYTES = 64 * 1024
# Characters of what is told of a test that did not pass.
MESSAGE, TRACEBACK, OUTPUT = 1500, 6000, 3000
_COLOURS = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


class Reporter:
    """Writes the report, within its bound: texts become shorter as it fills up, and in the end only what is essential is told."""

    def __init__(self, report_bytes: int) -> None:
        # Out of the way of code that closes what it did not open, and not handed on to the programs it starts.
        self._fd = fcntl.fcntl(REPORT_FD, fcntl.F_DUPFD_CLOEXEC, 100)
        os.close(REPORT_FD)
        self._reserve = min(_RESERVE_BYTES, report_bytes // 4)
        self._left = report_bytes - self._reserve
        self._process = os.getpid()

    def text(self, text: str, limit: int) -> str:
        """The text without colours, at most `limit` characters of it, fewer as the report fills up; its middle is left out."""
        limit = max(200, min(limit, self._left // 40))
        plain = _COLOURS.sub("", text)
        if len(plain) <= limit:
            return plain
        head = limit // 3
        return f"{plain[:head]}\n… {len(plain) - limit} characters left out …\n{plain[head - limit :]}"

    def tell(self, kind: str, **facts: object) -> None:
        """Write one line, as far as there is room."""
        line = _line(kind, facts)
        if len(line) <= min(self._left, LINE_BYTES):
            self._left -= len(line)
            self._write(line)

    def insist(self, kind: str, **facts: object) -> None:
        """Write one line of the few for which room is kept."""
        line = _line(kind, facts)
        if len(line) <= min(self._reserve, LINE_BYTES):
            self._reserve -= len(line)
            self._write(line)

    def _write(self, line: bytes) -> None:
        # A process that a test has forked has nothing to tell.
        while line and os.getpid() == self._process:
            line = line[os.write(self._fd, line) :]


def _line(kind: str, facts: dict[str, object]) -> bytes:
    return json.dumps({"kind": kind, **facts}, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def status_of(returned: int) -> int:
    """A child's status as a shell tells it: 128 + n for signal n."""
    return returned if returned >= 0 else 128 - returned


def flush() -> None:
    """Let out what Python still holds, as far as it can be."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
