"""What operators see of developer tools: a log line and the counters of each call, beside its record in the audit."""

from collections.abc import Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from dagi.observe.metrics import Counts, Durations, Metrics, add, counter, histogram
from dagi.ports.calls import Called, CallLog
from dagi.ports.observer import Observer


class ObservedCalls(Collector):
    """A CallLog around a CallLog. Labels are names of tools and codes of errors, so their number is bounded."""

    def __init__(self, inner: CallLog, observer: Observer, metrics: Metrics) -> None:
        self._inner = inner
        self._observer = observer
        self._counts: Counts = {}
        self._durations: dict[str, Durations] = {}
        self.saved = inner.saved
        self.admit = inner.admit
        metrics.register(self)

    def called(self, call: Called) -> None:
        """See the port CallLog."""
        self._inner.called(call)
        add(self._counts, (call.action, call.outcome))
        self._durations.setdefault(call.action, Durations()).add(call.ms / 1000)
        self._observer.note(
            "tool_called",
            action=call.action,
            outcome=call.outcome,
            request_id=call.request_id,
            dao_id=call.dao_id,
            user_id=call.user_id,
            workspace=call.workspace,
            ms=call.ms,
        )

    @override
    def collect(self) -> Iterable[Metric]:
        yield counter("dagi_tool_calls", "Calls of developer tools by how they ended", ("action", "outcome"), self._counts)
        yield histogram("dagi_tool_duration_seconds", "From a call to its end, waiting included", ("action",), self._durations)
