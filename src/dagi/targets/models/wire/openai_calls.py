"""Which call of a tool a piece belongs to. Servers disagree about how they number them. Never awaits."""


class Numbering:
    """The calls of one answer.

    A piece without an index goes on with the call of its id, or with the last one. An id and a name together begin another call, also
    where the index is that of a call with another id: some servers give every call the same.
    """

    def __init__(self) -> None:
        self._numbers: dict[int, int] = {}
        self._ids: dict[int, str] = {}
        self._last: int | None = None

    def number(self, index: int | None, identity: str, name: str) -> int:
        """The number of the piece's call.

        Args:
            index, identity, name: as the server gave them, where it did.
        """
        begun = self._last if index is None else self._numbers.get(index)
        if begun is not None:
            other = bool(identity) and identity != self._ids[begun]
            if (other and index is None) or (other and name and self._ids[begun]):
                begun = self._called(identity)
            elif index is None and not identity and name:
                begun = None
        number = self._new(index) if begun is None else begun
        if index is not None:
            self._numbers[index] = number
        self._ids[number] = self._ids.get(number) or identity
        self._last = number
        return number

    def _called(self, identity: str) -> int | None:
        return next((number for number, one in self._ids.items() if one == identity), None)

    def _new(self, index: int | None) -> int:
        return max(self._ids, default=-1) + 1 if index is None or index in self._ids else index
