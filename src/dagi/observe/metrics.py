"""Prometheus metrics, named after the conventions of that system (base units, `_total` for counters)."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from dagi.ports.dialogs import Exchange

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_GREATEST = 2**53


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._requests = Counter(
            "dagi_requests_total", "Exchanges by how they ended", ("mode", "rule", "provider", "outcome"), registry=self.registry
        )
        self._seconds = Histogram(
            "dagi_request_duration_seconds",
            "From the request to the end of its answer",
            ("mode",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._attempts = Counter("dagi_attempts_total", "Attempts at providers", ("provider", "outcome"), registry=self.registry)
        self._tokens = Counter("dagi_tokens_total", "Tokens as providers counted them", ("provider", "kind"), registry=self.registry)
        self._events = Counter("dagi_events_total", "Notable events outside exchanges", ("event",), registry=self.registry)

    def finished(self, exchange: Exchange) -> None:
        """Count one exchange, whatever it holds. Labels come from the configuration, never from the caller, so their number is bounded."""
        mode = exchange.message.mode
        self._requests.labels(mode, exchange.rule, exchange.provider, exchange.outcome).inc()
        self._seconds.labels(mode).observe(_amount(exchange.timings_ms.get("total", 0.0)) / 1000)
        for attempt in exchange.attempts:
            self._attempts.labels(attempt.provider, attempt.outcome).inc()
        if exchange.usage.total_tokens:
            self._tokens.labels(exchange.provider, "prompt").inc(_amount(exchange.usage.prompt_tokens))
            self._tokens.labels(exchange.provider, "completion").inc(_amount(exchange.usage.completion_tokens))

    def note(self, event: str) -> None:
        """Count an event."""
        self._events.labels(event).inc()

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value read when somebody asks."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def exposition(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self.registry)


def _amount(value: float) -> float:
    # A counter refuses to sink, and a huge integer is no float.
    return float(min(max(0, value), _GREATEST))
