"""Discord's side of the gateway, put together."""

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial

from dagi.assemble.applications import ApplicationPlan, Applications
from dagi.assemble.installation import Installation
from dagi.assemble.world import World
from dagi.channels.conversation import Conversation
from dagi.channels.discord.answering import Application, Attendant, case_of
from dagi.channels.discord.api import Api
from dagi.channels.discord.authentic import authentic
from dagi.channels.discord.interactions import Interaction
from dagi.channels.discord.reading import typing
from dagi.channels.discord.receiving import Reception
from dagi.channels.discord.sending import PER_TOKEN, TOKEN_BURST, Sender
from dagi.channels.discord.threads import Threads
from dagi.channels.pacing import Pace
from dagi.ports.inbox import Inbox, Lane, Outbox, Update
from dagi.ports.observer import Observer
from dagi.services.gateway.discord import DiscordHooks, Door
from dagi.stores.leases import Lease


class DiscordSide:
    """The applications at work.

    Attributes:
        attendant: handles interactions.
        sender: delivers what is owed for them.
    """

    def __init__(
        self,
        installation: Installation,
        world: World,
        applications: Applications,
        conversation: Conversation,
        kept: tuple[Inbox, Outbox, Observer],
        owing: Callable[[], None],
    ) -> None:
        self._conversation = conversation
        self._base_url = installation.loaded.settings.channels.discord.api_base_url
        self._world = world
        self._plans = applications.plans
        pace = Pace(PER_TOKEN, TOKEN_BURST)
        apis = {plan.settings.name: Api(world.http, self._base_url, plan.token) for plan in self._plans}
        self._threads = {name: Threads(api) for name, api in apis.items()}
        self._known = known = {
            plan.settings.name: Application(
                name=plan.settings.name,
                id=plan.settings.application_id,
                api=apis[plan.settings.name],
                dao_of=partial(self._dao_of, plan),
                parent=partial(self._parent, plan.settings.name),
                pace=pace,
            )
            for plan in self._plans
        }
        self.attendant = Attendant(known, conversation, kept[0], world.observer, world.clock, owing)
        addressed = {name: (api, known[name].id) for name, api in apis.items()}
        self.sender = Sender(addressed, kept[1], kept[2], world.clock, pace)

    def hooks(self, arrived: Callable[[Update], Awaitable[None]]) -> DiscordHooks:
        """What takes interactions in."""
        return DiscordHooks([self._door(plan, arrived) for plan in self._plans], self._world.clock)

    def listeners(self, arrived: Callable[[Update], Awaitable[None]]) -> dict[str, Callable[[], Coroutine[None, None, None]]]:
        """What hears plain words, by the names of the tasks."""
        return {
            f"discord-{plan.settings.name}": partial(self._listen, plan, arrived)
            for plan in self._plans
            if plan.settings.mentions and plan.token
        }

    async def _listen(self, plan: ApplicationPlan, arrived: Callable[[Update], Awaitable[None]]) -> None:
        # discord.py takes a third of a second and 30 MB: it is there for those who want it.
        from dagi.channels.discord.listening import Listener  # noqa: PLC0415

        world, name = self._world, plan.settings.name
        lease = Lease(world.database, world.clock, f"discord:{name}")
        await Listener(name, (self._base_url, plan.token), world.observer, world.clock, lease, arrived).follow()

    def _door(self, plan: ApplicationPlan, arrived: Callable[[Update], Awaitable[None]]) -> Door:
        reception = Reception(plan.settings.name, arrived, partial(self._choices, plan), self._world.observer, self._world.clock)
        return Door(application=plan.settings.name, authentic=authentic(plan.public_key), answer=reception.answer)

    def _dao_of(self, plan: ApplicationPlan, guild: str, places: Sequence[str]) -> str:
        # What is said of a channel goes before what is said of its server.
        lanes = (Lane("discord", plan.settings.name, place) for place in (*places, guild))
        said = next((binding for lane in lanes if (binding := self._world.bindings.of(lane)) is not None), None)
        return plan.dao_of(guild) if said is None else said.dao_id

    async def _parent(self, name: str, channel: str) -> str:
        bindings = self._world.bindings
        if not bindings.any_of("discord", name) or bindings.of(Lane("discord", name, channel)) is not None:
            return ""
        return await self._threads[name].parent(channel)

    def _choices(self, plan: ApplicationPlan, interaction: Interaction, typed: str) -> Sequence[tuple[str, str]]:
        case = case_of(self._known[plan.settings.name], interaction, typing(interaction))
        return self._conversation.choices(case, typed)
