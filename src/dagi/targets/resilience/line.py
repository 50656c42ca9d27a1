"""Who is next: a fair line among DAOs, and within each among its people. Pure; time and places are the queue's business.

Start-time fair queueing (Goyal, Vin and Cheng, 1996) on two levels: every DAO counts the same, a person of a DAO as much as the role
weighs. Whoever asks once does not wait for everything that somebody else asked before, and nobody is passed over for ever.
"""

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")

# So many are known before those who neither wait nor owe anything are forgotten.
_REMEMBERED = 200


class _Flow(Generic[T]):
    """Those of one person who wait. `due`: the virtual time at which the next of them has a right to be called."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.weight = 1.0
        self.items: deque[T] = deque()

    def __len__(self) -> int:
        return len(self.items)


class _House(Generic[T]):
    """The people of one DAO; those who do not wait are remembered, so that leaving and coming back earns nothing."""

    def __init__(self, due: float) -> None:
        self.due = due
        self.size = 0
        self.clock = 0.0
        self.flows: dict[str, _Flow[T]] = {}

    def __len__(self) -> int:
        return self.size


class FairLine(Generic[T]):
    """A line of items that belong to a DAO and a person. Costs grow with the number of DAOs and people who wait."""

    def __init__(self) -> None:
        self._clock = 0.0
        self._size = 0
        self._houses: dict[str, _House[T]] = {}

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[T]:
        """Everything that waits, in no particular order."""
        return (item for house in self._houses.values() for flow in house.flows.values() for item in flow.items)

    def join(self, dao: str, person: str, item: T, weight: float = 1.0) -> None:
        """Wait, as the last of one's own.

        Args:
            weight: how much the person counts beside others of the same DAO; greater than 0.
        """
        house = self._houses.get(dao)
        if house is None:
            _forget(self._houses, self._clock)
            house = self._houses[dao] = _House(self._clock)
        flow = house.flows.get(person)
        if flow is None:
            _forget(house.flows, house.clock)
            flow = house.flows[person] = _Flow(house.clock)
        house.due = house.due if house.size else max(house.due, self._clock)
        flow.due = flow.due if flow.items else max(flow.due, house.clock)
        flow.weight = weight
        flow.items.append(item)
        house.size += 1
        self._size += 1

    def call(self) -> T | None:
        """Whose turn it is, who leaves the line; None when nobody waits."""
        if not self._size:
            return None
        house = min((house for house in self._houses.values() if house.size), key=_due)
        flow = min((flow for flow in house.flows.values() if flow.items), key=_due)
        item = flow.items.popleft()
        self._clock, house.clock = house.due, flow.due
        house.due += 1.0
        flow.due += 1.0 / flow.weight
        self._gone(house)
        if not self._size:
            # Nobody is left who could have been passed over: the next crowd begins as equals.
            self._clock = house.due
        return item

    def leave(self, dao: str, person: str, item: T) -> None:
        """Go without having been called; nothing happens where the item does not wait."""
        house = self._houses.get(dao)
        flow = house.flows.get(person) if house is not None else None
        if house is not None and flow is not None and item in flow.items:
            flow.items.remove(item)
            self._gone(house)

    def least_entitled(self, dao: str, person: str) -> T | None:
        """Who may be sent away so that a newcomer can wait: the last of those whose turn would come after the newcomer's; or None.

        Turns count over time: whoever was called often comes after whoever was not, also when each has only one waiting.
        """
        if not self._size:
            return None
        house = max((house for house in self._houses.values() if house.size), key=_house_end)
        own = self._houses.get(dao)
        if own is not house:
            begin = self._clock if own is None else max(own.due, self._clock) + own.size
            return _last(house).items[-1] if begin < _house_end(house) else None
        flow, mine = _last(house), house.flows.get(person)
        begin = house.clock if mine is None else max(mine.due, house.clock) + len(mine) / mine.weight
        return flow.items[-1] if flow is not mine and begin < _flow_end(flow) else None

    def waiting(self, dao: str, person: str) -> int:
        """How many of the person wait."""
        house = self._houses.get(dao)
        flow = house.flows.get(person) if house is not None else None
        return 0 if flow is None else len(flow)

    def _gone(self, house: _House[T]) -> None:
        house.size -= 1
        self._size -= 1


def _last(house: _House[T]) -> _Flow[T]:
    return max((flow for flow in house.flows.values() if flow.items), key=_flow_end)


def _house_end(house: _House[T]) -> float:
    """When the last one who waits in the house is due."""
    return house.due + house.size - 1


def _flow_end(flow: _Flow[T]) -> float:
    return flow.due + (len(flow) - 1) / flow.weight


def _due(one: _House[T] | _Flow[T]) -> float:
    return one.due


def _forget(known: dict[str, _House[T]] | dict[str, _Flow[T]], clock: float) -> None:
    if len(known) < _REMEMBERED:
        return
    for name in [name for name, one in known.items() if not len(one) and one.due <= clock]:
        del known[name]
