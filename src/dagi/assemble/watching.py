"""What an operator sees of the gateway: how its bots are, how much waits, how quickly platforms are answered."""

from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Final

import msgspec

from dagi.assemble.world import World
from dagi.errors import DagiError, StoreError
from dagi.observe.channels import Backlog, ChannelMetrics
from dagi.ports.inbox import Channel
from dagi.services.face import Answer, Endpoint, Handler, Request
from dagi.services.operations import Check, Dependency
from dagi.stores.backlog import Waits, waiting

Name = tuple[Channel, str]
# How often it is counted what waits.
_COUNT_S: Final = 5.0


class Watch:
    """Watches the bots of this process.

    Attributes:
        metrics: their counters.
        names: under which a platform knows a bot.
        troubles: why a bot's platform cannot be used.
    """

    def __init__(self, world: World, bots: Collection[Name]) -> None:
        self._world = world
        self._bots = tuple(bots)
        self.metrics = ChannelMetrics(bots)
        self.names: dict[Name, str] = {}
        self.troubles: dict[Name, str] = {}
        world.metrics.register(self.metrics)

    async def follow(self) -> None:
        """Count what waits, for ever."""
        while True:
            with suppress(StoreError):
                await self.count()
            await self._world.clock.sleep(_COUNT_S)

    async def count(self) -> None:
        """Count what waits.

        Raises:
            StoreError: the database cannot be read.
        """
        updates, parcels = await waiting(self._world.database)
        self.metrics.backlog = {name: self._backlog(name, updates, parcels) for name in self._bots}

    def _backlog(self, name: Name, updates: Waits, parcels: Waits) -> Backlog:
        now, update, parcel = self._world.clock.now(), updates.get(name), parcels.get(name)
        return Backlog(
            update.number if update else 0,
            max(0.0, (now - update.since).total_seconds()) if update else 0.0,
            parcel.number if parcel else 0,
            max(0.0, (now - parcel.since).total_seconds()) if parcel else 0.0,
        )

    def dependencies(self) -> Sequence[Dependency]:
        """Each bot: its platform takes its time, and what people write is taken meanwhile."""
        return [
            Dependency(f"{name[0]}:{name[1]}", self._check(name), needed=False, tells=lambda name=name: self._told(name))
            for name in self._bots
        ]

    def _check(self, name: Name) -> Check:
        async def check() -> str | None:
            why = self.troubles.get(name)
            return f"{why}; {self._told(name)}" if why else None

        return check

    def _told(self, name: Name) -> str:
        found = self.metrics.backlog.get(name, Backlog())
        known = f"known as {self.names[name]}; " if name in self.names else ""
        return (
            f"{known}{found.updates} updates wait, the oldest for {found.updates_s:.0f} s; "
            f"{found.parcels} answers wait, the oldest for {found.parcels_s:.0f} s"
        )

    def watched(self, channel: Channel, endpoints: Sequence[Endpoint]) -> Sequence[Endpoint]:
        """The same endpoints, with their answers counted."""
        return [msgspec.structs.replace(one, handler=self._timed(channel, one.handler)) for one in endpoints]

    def _timed(self, channel: Channel, handler: Handler) -> Handler:
        names = [name for of, name in self._bots if of == channel]
        only = names[0] if len(names) == 1 else ""

        async def timed(request: Request) -> Answer:
            began = self._world.clock.monotonic()
            try:
                answer = await handler(request)
            except DagiError:
                last = request.path.rpartition("/")[2]
                self.metrics.update(channel, only if last == "webhook" else last, "refused")
                raise
            self.metrics.acknowledged(channel, self._world.clock.monotonic() - began)
            return answer

        return timed
