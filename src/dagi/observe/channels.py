"""What is counted of channels: updates that come, parcels that leave, and what waits. Labels are names of configured bots alone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

import msgspec
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from dagi.observe.metrics import Counts, Durations, add, counter, histogram
from dagi.ports.clock import Clock
from dagi.ports.dialogs import Exchange
from dagi.ports.inbox import Channel, Inbox, Lane, Outbox, Owed, Parcel, Taken, Update
from dagi.ports.observer import Observer

Name = tuple[Channel, str]
_BOT: Final = ("channel", "bot")
_PUT_OFF: Final = "_put_off"
_GIVEN_UP: Final = {"4": "refused", "n": "too_late", "t": "unconfigured"}


class Backlog(msgspec.Struct, frozen=True):
    """What waits of one bot: how many, and for how long already the oldest of them, in seconds."""

    updates: int = 0
    updates_s: float = 0.0
    parcels: int = 0
    parcels_s: float = 0.0


class ChannelMetrics(Collector):
    """The counters of one gateway.

    Attributes:
        backlog: as it was found the last time.
    """

    def __init__(self, bots: Collection[Name]) -> None:
        self._bots = frozenset(bots)
        self.backlog: Mapping[Name, Backlog] = {}
        self._updates: Counts = {}
        self._parcels: Counts = {}
        self._put_off: Counts = {}
        self._given_up: Counts = {}
        self._acknowledged: dict[str, Durations] = {}
        self._owed: dict[str, Durations] = {}
        self._delivered: dict[str, Durations] = {}

    def update(self, channel: Channel, bot: str, outcome: str) -> None:
        """An update came: it was `received`, a `duplicate`, or `refused`. A bot nobody knows has no name."""
        add(self._updates, (channel, bot if (channel, bot) in self._bots else "", outcome))

    def acknowledged(self, channel: Channel, seconds: float) -> None:
        """A platform was told that we have what it delivered."""
        self._acknowledged.setdefault(channel, Durations()).add(seconds)

    def owed(self, channel: Channel, seconds: float) -> None:
        """What came of an update is owed now."""
        self._owed.setdefault(channel, Durations()).add(seconds)

    def delivered(self, lane: Lane, seconds: float) -> None:
        """A platform has a parcel."""
        add(self._parcels, (lane.channel, lane.bot, "delivered"))
        self._delivered.setdefault(lane.channel, Durations()).add(seconds)

    def given_up(self, lane: Lane, why: str) -> None:
        """A parcel is not delivered: the sentence's beginning tells the kind."""
        add(self._parcels, (lane.channel, lane.bot, "given_up"))
        add(self._given_up, (lane.channel, lane.bot, _GIVEN_UP.get(why[:1], "other")))

    def put_off(self, channel: str, bot: str, status: object) -> None:
        """A parcel is tried again later; `status` is the platform's, 0 where there was no answer of it."""
        add(self._parcels, (channel, bot, "put_off"))
        add(self._put_off, (channel, bot, _kind(status)))

    @override
    def collect(self) -> Iterable[Metric]:
        outcome = (*_BOT, "outcome")
        yield counter("dagi_channel_updates", "Updates that platforms delivered", outcome, self._updates)
        yield counter("dagi_channel_parcels", "Calls owed to platforms, by what became of an attempt", outcome, self._parcels)
        yield counter("dagi_channel_put_off", "Attempts put off, by the platform's status", (*_BOT, "reason"), self._put_off)
        yield counter("dagi_channel_given_up", "Calls that were given up", (*_BOT, "reason"), self._given_up)
        yield histogram("dagi_channel_acknowledged_seconds", "Until a platform is told that we have it", ("channel",), self._acknowledged)
        yield histogram("dagi_channel_owed_seconds", "From an update to its answer being owed", ("channel",), self._owed)
        yield histogram("dagi_channel_delivered_seconds", "From an answer being owed to its delivery", ("channel",), self._delivered)
        waiting = GaugeMetricFamily("dagi_channel_waiting", "What waits", labels=(*_BOT, "where"))
        oldest = GaugeMetricFamily("dagi_channel_oldest_seconds", "For how long the oldest waits", labels=(*_BOT, "where"))
        for name, found in self.backlog.items():
            for where, number, seconds in (("inbox", found.updates, found.updates_s), ("outbox", found.parcels, found.parcels_s)):
                waiting.add_metric((*name, where), number)
                oldest.add_metric((*name, where), seconds)
        yield waiting
        yield oldest


def _kind(status: object) -> str:
    if not isinstance(status, int) or not status:
        return "no_answer"
    return str(status) if status in {401, 404, 429} else f"{status // 100}xx"


class CountingInbox:
    """An inbox that counts."""

    def __init__(self, inbox: Inbox, metrics: ChannelMetrics, clock: Clock) -> None:
        self._inbox = inbox
        self._metrics = metrics
        self._clock = clock

    async def put(self, update: Update) -> bool:
        """See the port."""
        new = await self._inbox.put(update)
        self._metrics.update(update.lane.channel, update.lane.bot, "received" if new else "duplicate")
        return new

    async def take(self, most: int) -> Sequence[Taken]:
        """See the port."""
        return await self._inbox.take(most)

    async def keep(self, taken: Sequence[int]) -> None:
        """See the port."""
        await self._inbox.keep(taken)

    async def note(self, taken: int, progress: str) -> None:
        """See the port."""
        await self._inbox.note(taken, progress)

    async def handled(self, taken: Taken, parcels: Sequence[Parcel]) -> bool:
        """See the port."""
        done = await self._inbox.handled(taken, parcels)
        if done and parcels:
            self._metrics.owed(taken.update.lane.channel, _since(self._clock, taken.update.received_at))
        return done

    async def give_back(self, taken: Taken) -> None:
        """See the port."""
        await self._inbox.give_back(taken)


class CountingOutbox:
    """An outbox that counts."""

    def __init__(self, outbox: Outbox, metrics: ChannelMetrics, clock: Clock) -> None:
        self._outbox = outbox
        self._metrics = metrics
        self._clock = clock

    async def owe(self, parcels: Sequence[Parcel]) -> None:
        """See the port."""
        await self._outbox.owe(parcels)

    async def take(self, most: int) -> Sequence[Owed]:
        """See the port."""
        return await self._outbox.take(most)

    async def keep(self, owed: Sequence[int]) -> None:
        """See the port."""
        await self._outbox.keep(owed)

    async def delivered(self, owed: Owed, message: str = "") -> None:
        """See the port."""
        await self._outbox.delivered(owed, message)
        self._metrics.delivered(owed.parcel.lane, _since(self._clock, owed.since))

    async def later(self, owed: Owed, until: datetime) -> None:
        """See the port."""
        await self._outbox.later(owed, until)

    async def give_back(self, owed: Owed) -> None:
        """See the port."""
        await self._outbox.give_back(owed)

    async def given_up(self, owed: Owed, why: str) -> None:
        """See the port."""
        await self._outbox.given_up(owed, why)
        self._metrics.given_up(owed.parcel.lane, why)

    async def moved(self, lane: Lane, chat: str) -> None:
        """See the port."""
        await self._outbox.moved(lane, chat)


class CountingObserver:
    """An observer that counts what senders put off; only they know why."""

    def __init__(self, observer: Observer, metrics: ChannelMetrics) -> None:
        self._observer = observer
        self._metrics = metrics

    def finished(self, exchange: Exchange) -> None:
        """See the port."""
        self._observer.finished(exchange)

    def note(self, event: str, **facts: object) -> None:
        """See the port."""
        if event.endswith(_PUT_OFF):
            self._metrics.put_off(event.removesuffix(_PUT_OFF), str(facts.get("bot", "")), facts.get("status", facts.get("code")))
        self._observer.note(event, **facts)


def _since(clock: Clock, when: datetime) -> float:
    return max(0.0, (clock.now() - when).total_seconds())
