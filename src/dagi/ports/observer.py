"""Observer: what the operator sees of the work."""

from typing import Protocol

from dagi.ports.dialogs import Exchange


class Observer(Protocol):
    """Told of facts, never of message text or secrets. Must not raise and must not wait."""

    def finished(self, exchange: Exchange) -> None:
        """One exchange is over, however it ended: one log line, the counters."""
        ...

    def note(self, event: str, **facts: object) -> None:
        """Something worth knowing happened outside one exchange: a breaker opened, a process came back."""
        ...
