"""Reads the logs of all processes together, rotated files too: by time, filtered, and on as they grow.

A line that is no JSON object (torn by a crash, or written by something else) is kept as it is, at the time of the line before it.
"""

import heapq
import logging
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

LONGEST: Final = 1024 * 1024
WINDOW: Final = 500
_NAME: Final = re.compile(r"(?P<service>[^/]+?)\.log(?:\.(?P<number>\d{1,6}))?\Z")
_LONG_AGO: Final = datetime.min.replace(tzinfo=UTC)
_object: Final = msgspec.json.Decoder(dict[str, object])


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a log. `event` is None where the line is no JSON object; `raw` is the line without its end."""

    at: datetime
    service: str
    raw: bytes
    event: Mapping[str, object] | None


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which lines: all conditions that are set have to hold.

    Attributes:
        level: this level or a graver one, for example `warning`; leaves out what has no level.
    """

    request_id: str | None = None
    level: str | None = None
    service: str | None = None
    since: datetime | None = None

    def holds(self, entry: Entry) -> bool:
        """Whether the line is one of these."""
        event = entry.event
        if self.service is not None and entry.service != self.service:
            return False
        if self.since is not None and entry.at < self.since:
            return False
        if self.request_id is not None and not (self.request_id.encode() in entry.raw if event is None else _names(event, self.request_id)):
            return False
        return self.level is None or (event is not None and _weight(event.get("level")) >= _weight(self.level))


class LogFiles:
    """The log files of one directory."""

    def __init__(self, directory: Path, wanted: Wanted) -> None:
        self._directory = directory
        self._wanted = wanted
        # How far each file was read, by its inode: rotation renames files.
        self._reached: dict[int, int] = {}
        self._latest: dict[str, datetime] = {}

    @property
    def there(self) -> bool:
        """Whether there is any."""
        return bool(self._found())

    def past(self, *, unfinished: bool = True) -> Iterator[Entry]:
        """Every line so far that is wanted, by time.

        Args:
            unfinished: also a last line that does not end yet; otherwise `news` gives it once it does.
        """
        with ExitStack() as stack:
            files: dict[str, list[BinaryIO]] = defaultdict(list)
            # All are opened before any is read, so that a rotation meanwhile neither hides a file nor shows it twice.
            for service, path in self._found():
                file = _opened(path)
                if file is not None:
                    files[service].append(stack.enter_context(file))
            yield from heapq.merge(
                *(_settled(self._read(service, each, unfinished=unfinished)) for service, each in files.items()), key=lambda entry: entry.at
            )

    def news(self) -> list[Entry]:
        """The lines that were finished since the last look, by time."""
        found: list[Entry] = []
        for service, path in self._found():
            file = _opened(path)
            if file is None:
                continue
            with file:
                found += self._read(service, [file], unfinished=False)
        return sorted(found, key=lambda entry: entry.at)

    def _found(self) -> list[tuple[str, Path]]:
        """The files and whose they are, each service's oldest first."""
        try:
            names = [(match, entry.name) for entry in os.scandir(self._directory) if (match := _NAME.match(entry.name))]
        except OSError:
            return []
        ordered = sorted(names, key=lambda found: (found[0]["service"], -int(found[0]["number"] or -1)))
        return [(match["service"], self._directory / name) for match, name in ordered]

    def _read(self, service: str, files: Iterable[BinaryIO], *, unfinished: bool) -> Iterator[Entry]:
        for file in files:
            status = os.fstat(file.fileno())
            start = self._reached.get(status.st_ino, 0)
            if start > status.st_size:  # emptied in place
                start = 0
            if self._wanted.since is not None and datetime.fromtimestamp(status.st_mtime, UTC) < self._wanted.since:
                self._reached[status.st_ino] = status.st_size
                continue
            file.seek(start)
            while line := file.readline(LONGEST):
                is_whole = line.endswith(b"\n") or len(line) >= LONGEST
                if not is_whole and not unfinished:
                    break
                start += len(line)
                entry = self._entry(service, line.rstrip(b"\r\n"))
                if entry is not None and self._wanted.holds(entry):
                    yield entry
            self._reached[status.st_ino] = start

    def _entry(self, service: str, line: bytes) -> Entry | None:
        if not line.strip():
            return None
        # Most lines of a long log are not of the request; only those that may be are decoded.
        wish = self._wanted.request_id
        if wish is not None and wish.encode() not in line:
            return None
        event = decoded(line)
        at = self._latest.get(service, _LONG_AGO) if event is None else (_time(event) or self._latest.get(service, _LONG_AGO))
        self._latest[service] = at
        named = event.get("service") if event is not None else None
        return Entry(at=at, service=named if isinstance(named, str) else service, raw=line, event=event)


def _settled(entries: Iterable[Entry]) -> Iterator[Entry]:
    """By time within a file, too: each process gathers its lines for a moment, so those of several come a little out of order."""
    waiting: list[tuple[datetime, int, Entry]] = []
    for number, entry in enumerate(entries):
        heapq.heappush(waiting, (entry.at, number, entry))
        if len(waiting) > WINDOW:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def decoded(line: bytes) -> Mapping[str, object] | None:
    """The line's JSON object; None where it is none."""
    try:
        return _object.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _opened(path: Path) -> BinaryIO | None:
    try:
        return path.open("rb")
    except OSError:
        return None  # rotated away just now, or not ours to read


def _time(event: Mapping[str, object]) -> datetime | None:
    text = event.get("timestamp")
    if not isinstance(text, str):
        return None
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo is not None else at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return None


def _weight(level: object) -> int:
    return logging.getLevelNamesMapping().get(level.upper(), 0) if isinstance(level, str) else 0


def _names(event: Mapping[str, object], request_id: str) -> bool:
    return event.get("request_id") == request_id or any(isinstance(value, list) and request_id in value for value in event.values())


_SHOWN_APART: Final = ("timestamp", "level", "service", "event", "exception")


def readable(entry: Entry) -> str:
    """The line for people: time, level, service, event, and the rest as `key=value`."""
    event = entry.event
    if event is None:
        when = "" if entry.at == _LONG_AGO else entry.at.isoformat(sep=" ", timespec="milliseconds")[:23]
        return f"{when:23} {'?':8} {entry.service:10} {entry.raw.decode('utf-8', 'replace')}"
    facts = " ".join(f"{key}={_shown(value)}" for key, value in event.items() if key not in _SHOWN_APART and value is not None)
    when = entry.at.isoformat(sep=" ", timespec="milliseconds")[:23] if entry.at != _LONG_AGO else ""
    line = f"{when:23} {_word(event.get('level')):8} {entry.service:10} {_word(event.get('event')):20} {facts}".rstrip()
    return "\n".join([line, *_exception(event.get("exception"))])


def _word(value: object) -> str:
    return str(value) if value is not None else ""


def _shown(value: object) -> str:
    if isinstance(value, str):
        return value if value and not any(mark in value for mark in ' "=\n') else msgspec.json.encode(value).decode()
    return msgspec.json.encode(value).decode()


def _exception(value: object) -> Iterator[str]:
    """What structlog's dictionaries tell of an exception: type, words and where it was raised."""
    if isinstance(value, str):
        yield from (f"    {line}" for line in value.splitlines())
    for one in value if isinstance(value, list) else ():
        if isinstance(one, Mapping):
            yield f"    {one.get('exc_type')}: {one.get('exc_value')}"
            frames = one.get("frames")
            for frame in frames if isinstance(frames, Sequence) else ():
                if isinstance(frame, Mapping):
                    yield f"      {frame.get('filename')}:{frame.get('lineno')} {frame.get('name')}"
