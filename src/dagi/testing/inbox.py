"""Inbox and outbox in memory, written as plainly as can be: what the others are compared with."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from secrets import token_hex
from typing import TypeVar

import msgspec

from dagi.ports.clock import Clock
from dagi.ports.inbox import HELD_S, Lane, Owed, Parcel, Taken, Update

_HELD = timedelta(seconds=HELD_S)


class _Row(msgspec.Struct, kw_only=True):
    id: int
    lane: Lane
    place: int
    since: datetime
    due_at: datetime
    attempts: int = 0
    holder: str = ""
    held_until: datetime | None = None
    settled: bool = False


R = TypeVar("R", bound=_Row)


class KeptUpdate(_Row, kw_only=True):
    """An update and what became of it."""

    update: Update
    progress: str = ""


class KeptParcel(_Row, kw_only=True):
    """A parcel and what became of it: `message` is the platform's id of it, `why` tells that it was given up."""

    parcel: Parcel
    message: str = ""
    why: str = ""


class FakePost:
    """What inboxes and outboxes keep; each of them that is made over it is as one process to the others."""

    def __init__(self) -> None:
        self.updates: list[KeptUpdate] = []
        self.parcels: list[KeptParcel] = []

    def owe(self, parcels: Sequence[Parcel], now: datetime) -> None:
        """Put parcels down."""
        for parcel in parcels:
            number = len(self.parcels) + 1
            self.parcels.append(KeptParcel(id=number, lane=parcel.lane, place=number, since=now, due_at=now, parcel=parcel))


class FakeInbox:
    """Implements the port Inbox."""

    def __init__(self, post: FakePost, clock: Clock) -> None:
        self._post = post
        self._clock = clock
        self._holder = token_hex(8)

    async def put(self, update: Update) -> bool:
        """See the port."""
        known = {(row.lane.channel, row.lane.bot, row.update.number) for row in self._post.updates}
        if (update.lane.channel, update.lane.bot, update.number) in known:
            return False
        at, number = update.received_at, len(self._post.updates) + 1
        self._post.updates.append(KeptUpdate(id=number, lane=update.lane, place=update.number, since=at, due_at=at, update=update))
        return True

    async def take(self, most: int) -> Sequence[Taken]:
        """See the port."""
        rows = _taken(self._post.updates, most, self._holder, self._clock.now(), lambda _: True)
        return [Taken(id=row.id, update=row.update, attempt=row.attempts, progress=row.progress) for row in rows]

    async def keep(self, taken: Sequence[int]) -> None:
        """See the port."""
        _keep(self._post.updates, taken, self._holder, self._clock.now())

    async def note(self, taken: int, progress: str) -> None:
        """See the port."""
        for row in _mine(self._post.updates, [taken], self._holder):
            row.progress = progress

    async def handled(self, taken: Taken, parcels: Sequence[Parcel]) -> bool:
        """See the port."""
        for row in _mine(self._post.updates, [taken.id], self._holder):
            row.settled, row.progress = True, ""
            row.update = msgspec.structs.replace(row.update, body=b"")
            self._post.owe(parcels, self._clock.now())
            return True
        return False

    async def give_back(self, taken: Taken) -> None:
        """See the port."""
        _give_back(_mine(self._post.updates, [taken.id], self._holder))


class FakeOutbox:
    """Implements the port Outbox."""

    def __init__(self, post: FakePost, clock: Clock) -> None:
        self._post = post
        self._clock = clock
        self._holder = token_hex(8)

    async def owe(self, parcels: Sequence[Parcel]) -> None:
        """See the port."""
        self._post.owe(parcels, self._clock.now())

    async def take(self, most: int) -> Sequence[Owed]:
        """See the port."""
        now = self._clock.now()
        rows = _taken(self._post.parcels, most, self._holder, now, lambda row: row.due_at <= now)
        return [Owed(id=row.id, parcel=row.parcel, since=row.since, attempt=row.attempts) for row in rows]

    async def keep(self, owed: Sequence[int]) -> None:
        """See the port."""
        _keep(self._post.parcels, owed, self._holder, self._clock.now())

    async def delivered(self, owed: Owed, message: str = "") -> None:
        """See the port."""
        self._settle(owed, message, "")

    async def later(self, owed: Owed, until: datetime) -> None:
        """See the port."""
        rows = _mine(self._post.parcels, [owed.id], self._holder)
        for row in rows:
            row.due_at = until
        _let_go(rows)

    async def give_back(self, owed: Owed) -> None:
        """See the port."""
        _give_back(_mine(self._post.parcels, [owed.id], self._holder))

    async def given_up(self, owed: Owed, why: str) -> None:
        """See the port."""
        self._settle(owed, "", why)

    async def moved(self, lane: Lane, chat: str) -> None:
        """See the port."""
        for row in self._post.parcels:
            if row.lane == lane and not row.settled:
                row.lane = Lane(lane.channel, lane.bot, chat)
                row.parcel = msgspec.structs.replace(row.parcel, lane=row.lane)

    def _settle(self, owed: Owed, message: str, why: str) -> None:
        for row in _mine(self._post.parcels, [owed.id], self._holder):
            row.settled, row.message, row.why = True, message, why
            row.parcel = msgspec.structs.replace(row.parcel, body=b"", plain=b"")


def _taken(rows: Sequence[R], most: int, holder: str, now: datetime, due: Callable[[R], bool]) -> list[R]:
    fronts: dict[Lane, R] = {}
    held = {row.lane for row in rows if not row.settled and row.held_until is not None and row.held_until > now}
    for row in sorted(rows, key=lambda row: row.place):
        if not row.settled:
            fronts.setdefault(row.lane, row)
    free = [row for row in fronts.values() if row.lane not in held and due(row)]
    turns = Counter(_bot(row) for row in rows if not row.settled and row.holder == holder and row.held_until and row.held_until > now)
    line: list[tuple[int, R]] = []
    for row in sorted(free, key=lambda row: row.id):
        turns[_bot(row)] += 1
        line.append((turns[_bot(row)], row))
    chosen = sorted((row for _, row in sorted(line, key=lambda one: (one[0], one[1].id))[:most]), key=lambda row: row.id)
    for row in chosen:
        row.holder, row.held_until, row.attempts = holder, now + _HELD, row.attempts + 1
    return chosen


def _bot(row: _Row) -> tuple[str, str]:
    return row.lane.channel, row.lane.bot


def _mine(rows: Sequence[R], ids: Sequence[int], holder: str) -> list[R]:
    return [row for row in rows if row.id in ids and row.holder == holder and not row.settled]


def _keep(rows: Sequence[_Row], ids: Sequence[int], holder: str, now: datetime) -> None:
    for row in _mine(rows, ids, holder):
        row.held_until = now + _HELD


def _give_back(rows: Sequence[_Row]) -> None:
    for row in rows:
        row.attempts -= 1
    _let_go(rows)


def _let_go(rows: Sequence[_Row]) -> None:
    for row in rows:
        row.holder, row.held_until = "", None
