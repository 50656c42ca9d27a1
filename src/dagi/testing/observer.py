"""An observer that remembers."""

from dagi.ports.dialogs import Exchange


class CollectingObserver:
    """Remembers what it was told.

    Attributes:
        exchanges: those that were finished, in order.
        notes: every other event with its facts, in order.
    """

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.notes: list[tuple[str, dict[str, object]]] = []

    def finished(self, exchange: Exchange) -> None:
        """One exchange is over."""
        self.exchanges.append(exchange)

    def note(self, event: str, **facts: object) -> None:
        """Something happened outside an exchange."""
        self.notes.append((event, facts))

    @property
    def events(self) -> list[str]:
        """The names of the notes, in order."""
        return [event for event, _ in self.notes]
