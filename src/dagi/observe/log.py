"""Structured logs: one JSON line an event in a file of its own for each service, and a form for people on the terminal.

Vocabulary of a request's line: timestamp, level, service, event, request_id, user_id, dao_id, source, mode, rule, provider, attempts,
details (how each failed attempt failed), reason, cached, duration_ms, status. Message text and secrets have no place here.
"""

import atexit
import logging
import sys
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger
from typing_extensions import override

from dagi.observe.lines import Lines, Place, RotatingFile, StreamPlace, visible

MEGABYTE = 1024 * 1024
# Without the values of local variables: those are requests, with their text and their keys.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))
_ENCODER = msgspec.json.Encoder(enc_hook=repr)


class LogPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where to log and how much to keep. `max_files` counts the current file too."""

    level: str
    form: Literal["json", "console"]
    max_bytes: int
    max_files: int
    directory: Path | None


class ExchangeLine(msgspec.Struct, kw_only=True):
    """The line of one exchange. It is written for every request, so it has a form of its own that is encoded in one go."""

    timestamp: datetime
    level: str
    service: str
    event: str = "exchange"
    request_id: str
    user_id: str
    dao_id: str
    source: str
    mode: str
    rule: str | None
    provider: str | None
    attempts: list[str]
    details: list[str]
    reason: str | None
    cached: bool
    duration_ms: float
    status: str


class Log:
    """The log of one process."""

    def __init__(self, service: str, level: int, lines: Lines, people: "_People | None") -> None:
        self._service = service
        self._level = level
        self._lines = lines
        self._people = people
        self._events: FilteringBoundLogger = structlog.wrap_logger(
            None,
            processors=[structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True), self._write],
            wrapper_class=structlog.make_filtering_bound_logger(level),
        )

    def info(self, event: str, **facts: object) -> None:
        """What is as it should be."""
        self._events.info(event, **facts)

    def warning(self, event: str, **facts: object) -> None:
        """What an operator may want to look into."""
        self._events.warning(event, **facts)

    def error(self, event: str, **facts: object) -> None:
        """What is broken."""
        self._events.error(event, **facts)

    def takes(self, level: int) -> bool:
        """Whether a line of that level is written at all."""
        return level >= self._level

    def exchange(self, line: ExchangeLine) -> None:
        """The line of one exchange, whose level was asked for before."""
        line.service = self._service
        self._lines.add(_ENCODER.encode(line))
        if self._people is not None:
            self._people.show(msgspec.to_builtins(line, builtin_types=(datetime,)), line.timestamp.isoformat().replace("+00:00", "Z"))

    def flush(self) -> None:
        """Write what is still gathered; the process is about to end."""
        self._lines.flush()

    def _write(self, _logger: WrappedLogger, method: str, event: EventDict) -> str:
        event["service"] = self._service
        self.take(event, urgent=method not in {"info", "debug"})
        raise structlog.DropEvent

    def take(self, event: EventDict, *, urgent: bool) -> None:
        """Write an event that has its level and its time already."""
        if self._people is not None:
            self._people.show(dict(event), str(event["timestamp"]))
        self._lines.add(_ENCODER.encode(_TRACEBACKS(None, "", event)), urgent=urgent)


class _People:
    """Shows events on a terminal, for people."""

    def __init__(self, place: Place, *, colours: bool) -> None:
        self._lines = Lines([place])
        self._renderer = structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)

    def show(self, event: EventDict, timestamp: str) -> None:
        info = structlog.processors.format_exc_info(None, "", event)
        shown = {
            key: visible(value, but="\n" if key == "exception" else "") if isinstance(value, str) else value for key, value in info.items()
        }
        self._lines.add(self._renderer(None, "", {**shown, "timestamp": timestamp}).encode("utf-8", "replace"), urgent=True)


class _Libraries(logging.Handler):
    """What libraries log, among our own lines."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log

    @override
    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):
            text = str(record.msg)
        event: EventDict = {"event": text, "level": record.levelname.lower(), "logger": record.name}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        stamp: Processor = structlog.processors.TimeStamper(fmt="iso", utc=True)
        self._log.take(dict(stamp(None, "", event)), urgent=True)


# A log that cannot be written (a full disk) is no reason to flood the terminal with tracebacks.
logging.raiseExceptions = False


def open_log(plan: LogPlan, service: str) -> Log:
    """The log of one process: JSON into `<directory>/<service>.log`, and on stderr in the form the operator chose."""
    level = logging.getLevelNamesMapping()[plan.level]
    terminal = StreamPlace(sys.stderr)
    places: list[Place] = [terminal] if plan.form == "json" else []
    if plan.directory is not None:
        plan.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        places.append(RotatingFile(plan.directory / f"{service}.log", plan.max_bytes, plan.max_files))
    people = None if plan.form == "json" else _People(terminal, colours=sys.stderr.isatty())
    log = Log(service, level, Lines(places), people)
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(_Libraries(log))
    # Libraries speak of trouble only; the stack itself as much as the operator wants.
    root.setLevel(max(level, logging.WARNING))
    atexit.register(log.flush)
    return log
