"""Structured logs: one JSON line an event in a file of its own for each process, and a form for people on the terminal.

Vocabulary of a request's line: timestamp, level, service, event, request_id, user_id, dao_id, source, mode, rule, provider, attempts,
details (how each failed attempt failed), reason, duration_ms, status. Message text and secrets have no place here.
"""

import logging
import os
import sys
from collections.abc import Sequence
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Literal

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger
from typing_extensions import override

MEGABYTE = 1024 * 1024
# Without the values of local variables: those are requests, with their text and their keys.
_TRACEBACKS = structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False))


class LogPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Where to log and how much to keep. `max_files` counts the current file too."""

    level: str
    form: Literal["json", "console"]
    max_bytes: int
    max_files: int
    directory: Path | None


# A log that cannot be written (a full disk) is no reason to flood the terminal with tracebacks.
logging.raiseExceptions = False


def open_log(plan: LogPlan, service: str) -> FilteringBoundLogger:
    """The log of one process: JSON into `<directory>/<service>.log`, and on stderr in the form the operator chose."""
    level = logging.getLevelNamesMapping()[plan.level]
    formatter = _JsonOnce()
    handlers: list[logging.Handler] = [_terminal(plan.form, formatter)]
    if plan.directory is not None:
        handlers.append(_file(plan, plan.directory / f"{service}.log", formatter))
    root = logging.getLogger()
    for old in tuple(root.handlers):
        root.removeHandler(old)
        old.close()
    for handler in handlers:
        root.addHandler(handler)
    # Libraries speak of trouble only; the stack itself as much as the operator wants.
    root.setLevel(max(level, logging.WARNING))
    logging.getLogger("dagi").setLevel(level)
    structlog.configure(
        processors=_shared(service),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    return structlog.get_logger("dagi")


def _shared(service: str) -> Sequence[Processor]:
    def add_service(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    return (
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        add_service,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    )


def _terminal(form: str, formatter: logging.Formatter) -> logging.Handler:
    handler = logging.StreamHandler(sys.stderr)
    if form == "json":
        handler.setFormatter(formatter)
    else:
        renderer = structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback)
        handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_foreign(), processors=_finish(renderer)))
    return handler


def _file(plan: LogPlan, path: Path, formatter: logging.Formatter) -> logging.Handler:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handler = _Rotating(path, maxBytes=plan.max_bytes, backupCount=max(plan.max_files - 1, 0), encoding="utf-8", delay=True)
    handler.setFormatter(formatter)
    return handler


class _Rotating(RotatingFileHandler):
    """Holds its size with a single file too (the standard one goes on writing into it), and asks the file system for nothing a line."""

    @override
    def shouldRollover(self, record: logging.LogRecord) -> bool:
        if self.stream is None:  # so it is until the first line (delay)
            self.stream = self._open()
        self.stream.seek(0, os.SEEK_END)
        return self.stream.tell() + len(self.format(record).encode()) + 1 > self.maxBytes

    @override
    def doRollover(self) -> None:
        super().doRollover()
        if self.backupCount == 0:
            Path(self.baseFilename).write_bytes(b"")


class _JsonOnce(structlog.stdlib.ProcessorFormatter):
    """Formats a line once, however many handlers want it and however often they ask."""

    def __init__(self) -> None:
        renderer = structlog.processors.JSONRenderer(serializer=_serialise)
        super().__init__(foreign_pre_chain=_foreign(), processors=_finish(_TRACEBACKS, renderer))
        self._last: tuple[logging.LogRecord, str] | None = None

    @override
    def format(self, record: logging.LogRecord) -> str:
        last = self._last
        if last is not None and last[0] is record:
            return last[1]
        text = super().format(record)
        self._last = (record, text)
        return text


def _finish(*renderers: Processor) -> Sequence[Processor]:
    return (structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers)


def _foreign() -> Sequence[Processor]:
    return (structlog.stdlib.add_log_level, structlog.processors.TimeStamper(fmt="iso", utc=True))


def _serialise(event: EventDict, **_options: object) -> str:
    return msgspec.json.encode(event, enc_hook=repr).decode("utf-8", "replace")
