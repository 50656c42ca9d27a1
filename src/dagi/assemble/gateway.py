"""The gateway (port 9300), put together: what platforms deliver, handled; what is owed to them, delivered."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from functools import partial

import msgspec

from dagi.assemble.applications import Applications
from dagi.assemble.background import Work
from dagi.assemble.bots import BotPlan, Bots
from dagi.assemble.discord import DiscordSide
from dagi.assemble.identities import Linked
from dagi.assemble.installation import Installation, stack_version
from dagi.assemble.outside import read_outside
from dagi.assemble.readiness import dependencies, gateway_dependencies
from dagi.assemble.services import built_callers, built_service
from dagi.assemble.watching import Watch
from dagi.assemble.world import World
from dagi.channels.conversation import COMMANDS, Conversation, Parts
from dagi.channels.discord.setup import offered
from dagi.channels.hands import Hands
from dagi.channels.telegram.api import UNREADABLE, Api, Refusal
from dagi.channels.telegram.attending import Attendant, Bot, Bound
from dagi.channels.telegram.polling import Poller
from dagi.channels.telegram.reading import Self
from dagi.channels.telegram.sending import Sender
from dagi.channels.telegram.setup import offer_commands
from dagi.channels.telegram.turns import Turns
from dagi.channels.telegram.updates import chat_of, number_of
from dagi.observe.channels import CountingInbox, CountingObserver, CountingOutbox
from dagi.ports.inbox import Channel, Lane, Owed, Taken, Update
from dagi.router import Router
from dagi.services.face import Endpoint
from dagi.services.gateway.face import GatewayFace
from dagi.services.gateway.telegram import Hook, Read, TelegramHooks
from dagi.services.http1.service import Service
from dagi.services.operations import Operations
from dagi.stores.chat_moves import ChatMoves
from dagi.stores.feedback import SqlFeedback
from dagi.stores.inbox import SqlInbox
from dagi.stores.leases import Lease
from dagi.stores.outbox import SqlOutbox
from dagi.stores.portraits import SqlPortraits
from dagi.stores.proposals import SqlProposals
from dagi.stores.together import Together

# How long it is waited before Telegram is asked again who a bot is.
_ASK_AGAIN_S = 30.0
# How often it is looked whether Telegram still knows the bots.
_LOOK_AGAIN_S = 300.0
# How long an update waits to know its bot's name: past the next time it is asked for.
_NAME_S = 45.0


class Gateway:
    """The bots at work.

    Attributes:
        inbox, outbox: what waits.
    """

    def __init__(self, installation: Installation, world: World, router: Router, bots: Bots, applications: Applications) -> None:
        self._world = world
        self._base_url = installation.loaded.settings.channels.telegram.api_base_url
        self._plans = {plan.settings.name: plan for plan in bots.plans}
        self._apis = {name: Api(world.http, self._base_url, plan.token) for name, plan in self._plans.items()}
        self._selves = {name: Self(plan.id, plan.settings.username or "") for name, plan in self._plans.items()}
        self._known = {name: asyncio.Event() for name in self._plans}
        self._moves = ChatMoves(world.database)
        together = Together(world.database)
        self._together = together
        here: list[tuple[Channel, str]] = []
        here.extend(("telegram", name) for name in self._plans)
        here.extend(("discord", plan.settings.name) for plan in applications.plans)
        self._any = bool(here)
        self.watch = watch = Watch(world, here)
        self.inbox = CountingInbox(SqlInbox(together, world.clock, here), watch.metrics, world.clock)
        self.outbox = CountingOutbox(SqlOutbox(together, world.clock, here), watch.metrics, world.clock)
        observer = CountingObserver(world.observer, watch.metrics)
        conversation = Conversation(router, world.observer, _parts(installation, world))
        self._discord = DiscordSide(installation, world, applications, conversation, (self.inbox, self.outbox, observer), self._owing)
        self._turns = Turns(world.clock)
        self._sender = Sender(self._apis, self.outbox, observer, world.clock, self._turns, self._moved)
        self._attendant = Attendant(
            {name: self._bot(plan) for name, plan in self._plans.items()},
            conversation,
            self.inbox,
            world.observer,
            world.clock,
            self._owing,
        )
        self.delivering: Hands[Owed] = Hands("outbox", self.outbox, self._deliver, world.observer, world.clock)
        self.attending: Hands[Taken] = Hands("inbox", self.inbox, self._attend, world.observer, world.clock)

    def _owing(self) -> None:
        self.delivering.wake()

    async def _attend(self, taken: Taken) -> None:
        side = self._discord.attendant if taken.update.lane.channel == "discord" else self._attendant
        await side.attend(taken)

    async def _deliver(self, owed: Owed) -> None:
        side = self._discord.sender if owed.parcel.lane.channel == "discord" else self._sender
        await side.deliver(owed)

    def _bot(self, plan: BotPlan) -> Bot:
        name = plan.settings.name
        return Bot(
            name=name,
            api=self._apis[name],
            me=partial(self._me, name),
            bound=partial(self._bound, plan),
            moved=self._moved,
            turns=self._turns,
        )

    async def _me(self, name: str, chat: str) -> Self:
        # Whether a group's command or mention is for us nobody knows without our name; what waited there is handled before it is told.
        if chat.startswith("-") and not self._selves[name].username:
            with suppress(TimeoutError):
                async with asyncio.timeout(_NAME_S):
                    await self._known[name].wait()
        return self._selves[name]

    async def _bound(self, plan: BotPlan, chat: str) -> Bound:
        # Groups alone move, which have negative ids. What is said of the id it has goes before what was said of its first.
        name, chats, bindings = plan.settings.name, plan.settings.chats, self._world.bindings
        said = bindings.of(Lane("telegram", name, chat))
        moved = chat.startswith("-") and said is None and (bindings.any_of("telegram", name) or (chats and chat not in chats))
        if moved:
            first = await self._moves.first(Lane("telegram", name, chat))
            said = bindings.of(Lane("telegram", name, first))
            chat = chat if chat in chats else first
        return plan.bound(chat, said)

    async def _moved(self, lane: Lane, chat: str) -> None:
        """What was said about the old id counts for the new one, until the operator writes it."""
        if not await self._moves.note(lane, chat):
            return
        self._world.observer.note("chat_moved", level="warning", bot=lane.bot, chat=lane.chat, to=chat)

    async def _arrived(self, update: Update) -> None:
        if await self.inbox.put(update):
            self.attending.wake()

    def endpoints(self) -> Sequence[Endpoint]:
        """Where platforms deliver."""
        return [
            *self.watch.watched("telegram", self._telegram_hooks().endpoints()),
            *self.watch.watched("discord", self._discord.hooks(self._arrived).endpoints()),
        ]

    def _telegram_hooks(self) -> TelegramHooks:
        hooks = [Hook(bot=name, secret=plan.secret.encode()) for name, plan in self._plans.items() if plan.secret is not None]
        return TelegramHooks(hooks, Read(number_of, chat_of), self._world.clock, self._arrived)

    def work(self) -> dict[str, Work]:
        """What goes on beside the requests, and how it is begun."""
        if not self._any:
            return {}
        found: dict[str, Work] = {
            "inbox": self.attending.follow,
            "outbox": self.delivering.follow,
            "bots": self._introduce,
            "bindings": self._world.bindings.follow,
            "backlog": self.watch.follow,
        }
        for name, plan in self._plans.items():
            if plan.secret is None:
                found[f"poll-{name}"] = self._poller(name).follow
        return found | self._discord.listeners(self._arrived)

    def _poller(self, name: str) -> Poller:
        world = self._world
        lease = Lease(world.database, world.clock, f"telegram:{name}")
        return Poller(name, self._apis[name], world.observer, world.clock, lease, self._arrived)

    async def _introduce(self) -> None:
        """Ask Telegram for the names of the bots, and tell it what they do, each until that is done; then look whether it knows them."""
        unknown, known = set(self._plans), set[str]()
        while True:
            for name in sorted(unknown or self._plans):
                try:
                    await self._met(name)
                    if name in unknown:
                        await offer_commands(self._apis[name], COMMANDS)
                except (Refusal, *UNREADABLE) as error:
                    known.discard(name)
                    self.watch.troubles["telegram", name] = str(error)
                    self._world.observer.note("telegram_unreachable", level="warning", bot=name, why=str(error), again_s=_ASK_AGAIN_S)
                else:
                    known.add(name)
                    self.watch.troubles.pop(("telegram", name), None)
            unknown -= known
            await self._world.clock.sleep(_ASK_AGAIN_S if len(known) < len(self._plans) else _LOOK_AGAIN_S)

    async def _met(self, name: str) -> None:
        self._selves[name] = msgspec.json.decode(await self._apis[name].call("getMe"), type=Self)
        self.watch.names["telegram", name] = f"@{self._selves[name].username}"
        self._known[name].set()

    async def aclose(self) -> None:
        """Wait for what is being written."""
        await self._together.aclose()


def _parts(installation: Installation, world: World) -> Parts:
    outside = read_outside(installation.loaded)
    linked = Linked(installation.loaded.settings, outside, world.database, world.clock, world.http, world.observer)
    return Parts(
        dao_name=world.directory.name,
        linking=linked.linking,
        open_now=world.proposals,
        proposals=lambda by: SqlProposals(world.database, world.clock, by),
        portraits=SqlPortraits(world.database, world.clock),
        feedback=SqlFeedback(world.database, world.clock),
        offered={"discord": offered()},
    )


def gateway_service(installation: Installation, world: World, gateway: Gateway, url: str) -> Service:
    """The service's endpoints."""
    open_details = installation.loaded.settings.environment == "development"
    router = dependencies(world.database, world.directory, world.dialogs, world.embedder, world.limits)
    needed = [*gateway_dependencies(router, world.denials), *gateway.watch.dependencies()]
    face = GatewayFace(
        platforms=gateway.endpoints(),
        operations=Operations(built_callers(installation, world.directory, world.clock), needed, open_details=open_details),
        metrics=world.metrics.exposition,
        url=url,
        version=stack_version(),
    )
    return built_service(installation, world, face.table())
