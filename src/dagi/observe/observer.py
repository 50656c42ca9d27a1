"""The observer of a process: one log line and the counters for each exchange."""

import logging
from datetime import UTC, datetime

from dagi.observe.log import ExchangeLine, Log
from dagi.observe.metrics import Metrics
from dagi.ports.dialogs import Exchange

# Ends that are nobody's fault but the caller's own: worth a line, not a warning.
_QUIET = frozenset(
    {"ok", "cancelled", "VALIDATION_ERROR", "RBAC_PERMISSION_DENIED", "DAO_SUSPENDED", "NO_ROUTE", "UNKNOWN_MODEL", "CONTEXT_TOO_LONG"}
    | {"RATE_LIMITED", "BUDGET_EXCEEDED", "UNKNOWN_TOOL", "NOT_FOUND", "CONFLICT", "PRECONDITION_FAILED", "PAYLOAD_TOO_LARGE"}
)


class LoggingObserver:
    """Implements the port Observer."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics

    def finished(self, exchange: Exchange) -> None:
        """See the port Observer."""
        quiet = exchange.outcome in _QUIET
        if self._log.takes(logging.INFO if quiet else logging.WARNING):
            self._log.exchange(_line(exchange, "info" if quiet else "warning"))
        self._metrics.finished(exchange)

    def flush(self) -> None:
        """Write the lines that are still gathered."""
        self._log.flush()

    def note(self, event: str, **facts: object) -> None:
        """See the port Observer. `level` among the facts is the line's level."""
        self._metrics.note(event)
        level = facts.pop("level", "info")
        say = self._log.error if level == "error" else self._log.warning if level == "warning" else self._log.info
        say(event, **facts)


def _line(exchange: Exchange, level: str) -> ExchangeLine:
    message, grant, attempts = exchange.message, exchange.grant, exchange.attempts
    sender = message.sender
    return ExchangeLine(
        timestamp=datetime.now(UTC),
        level=level,
        service="",
        request_id=message.id,
        user_id=sender.user_id,
        dao_id=sender.dao_id,
        source=sender.source,
        mode=message.mode,
        rule=exchange.rule or None,
        provider=exchange.provider or None,
        attempts=[f"{attempt.provider}:{attempt.outcome}" for attempt in attempts],
        details=[attempt.detail for attempt in attempts if attempt.outcome != "ok"],
        reason=grant.reason if grant is not None else None,
        cached=exchange.cached,
        duration_ms=round(exchange.timings_ms["total"], 1),
        status=exchange.outcome,
    )


class SilentObserver:
    """For commands, which print what they have to say themselves."""

    def finished(self, exchange: Exchange) -> None:
        """Nothing."""

    def note(self, event: str, **facts: object) -> None:
        """Nothing."""
