"""Prometheus metrics, named after the conventions of that system (base units, `_total` for counters).

What is counted for every request is kept in plain dictionaries and given its form when somebody asks: the library's own counters look
their labels up under a lock each time, which costs more than all the counting.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from typing_extensions import override

from dagi.ports.dialogs import Exchange

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BOUNDS = (*(str(bound) for bound in _SECONDS), "+Inf")
_GREATEST = 2**53

Counts = dict[tuple[str, ...], float]


class Durations:
    """How many of something took how long."""

    def __init__(self) -> None:
        self.buckets = [0] * len(_BOUNDS)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        self.buckets[bisect_left(_SECONDS, seconds)] += 1
        self.sum += seconds


class _Exchanges(Collector):
    """What is counted for every exchange."""

    def __init__(self) -> None:
        self.requests: Counts = {}
        self.attempts: Counts = {}
        self.tokens: Counts = {}
        self.durations: dict[str, Durations] = {}

    @override
    def collect(self) -> Iterable[Metric]:
        yield counter("dagi_requests", "Exchanges by how they ended", ("mode", "rule", "provider", "outcome"), self.requests)
        about = "From the request to the end of its answer"
        yield histogram("dagi_request_duration_seconds", about, ("mode",), self.durations)
        yield counter("dagi_attempts", "Attempts at providers", ("provider", "outcome"), self.attempts)
        yield counter("dagi_tokens", "Tokens as providers counted them", ("provider", "kind"), self.tokens)


def histogram(name: str, text: str, labels: tuple[str], durations: Mapping[str, Durations]) -> HistogramMetricFamily:
    """Durations by the value of their label."""
    family = HistogramMetricFamily(name, text, labels=labels)
    for value, one in dict(durations).items():
        buckets = list(zip(_BOUNDS, map(float, accumulate(one.buckets)), strict=True))
        family.add_metric((value,), buckets, sum_value=one.sum)
    return family


def counter(name: str, text: str, labels: tuple[str, ...], counts: Counts) -> CounterMetricFamily:
    """Counts by the values of their labels."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in dict(counts).items():
        family.add_metric(values, count)
    return family


class Metrics:
    """The counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._exchanges = _Exchanges()
        self.registry.register(self._exchanges)
        self._events = Counter("dagi_events_total", "Notable events outside exchanges", ("event",), registry=self.registry)

    def finished(self, exchange: Exchange) -> None:
        """Count one exchange, whatever it holds. Labels come from the configuration, never from the caller, so their number is bounded."""
        counts, mode = self._exchanges, exchange.message.mode
        requests, attempts = counts.requests, counts.attempts
        key = (mode, exchange.rule, exchange.provider, exchange.outcome)
        requests[key] = requests.get(key, 0.0) + 1.0
        durations = counts.durations.get(mode)
        if durations is None:
            durations = counts.durations[mode] = Durations()
        durations.add(max(0.0, exchange.timings_ms["total"]) / 1000)
        for attempt in exchange.attempts:
            tried = (attempt.provider, attempt.outcome)
            attempts[tried] = attempts.get(tried, 0.0) + 1.0
        usage = exchange.usage
        if usage.total_tokens:
            add(counts.tokens, (exchange.provider, "prompt"), _amount(usage.prompt_tokens))
            add(counts.tokens, (exchange.provider, "completion"), _amount(usage.completion_tokens))

    def note(self, event: str) -> None:
        """Count an event."""
        self._events.labels(event).inc()

    def gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A value read when somebody asks."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def tally(self, name: str, text: str, read: Callable[[], float]) -> None:
        """A counter that somebody else keeps, read when somebody asks; its name gets `_total`."""
        self.registry.register(_Tally(name, text, read))

    def register(self, collector: Collector) -> None:
        """What somebody else collects."""
        self.registry.register(collector)

    def exposition(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self.registry)


def add(counts: Counts, key: tuple[str, ...], amount: float = 1.0) -> None:
    """Count so many more."""
    counts[key] = counts.get(key, 0.0) + amount


class _Tally(Collector):
    def __init__(self, name: str, text: str, read: Callable[[], float]) -> None:
        self._name = name
        self._text = text
        self._read = read

    @override
    def collect(self) -> Iterable[Metric]:
        return [CounterMetricFamily(self._name, self._text, value=self._read())]


def _amount(value: float) -> float:
    # A counter refuses to sink, and a huge integer is no float.
    return float(min(max(0, value), _GREATEST))
