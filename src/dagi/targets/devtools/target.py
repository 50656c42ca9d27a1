"""Provider `devtools`: a message of mode `devtools` is an order for a tool, and what the tool gives is the answer."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress

from pydantic import BaseModel, ConfigDict

from dagi.errors import CannotDo, DagiError, NotConfigured, TargetFailure
from dagi.message import Grant, Message, Usage
from dagi.ports.devtools import Hear, Order, Tools
from dagi.ports.provider import Finding, ProviderTools
from dagi.ports.target import Data, Delta, End, Event, Step, Target, Used
from dagi.targets.devtools.saying import said

MODEL = "devtools"
# How many steps are kept for a caller who takes them slowly.
_AHEAD = 10_000


class Settings(BaseModel):
    """Nothing can be configured here: the tools have a section of their own, `devtools`."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class DevtoolsTarget:
    """Has the tools do what a message orders.

    What they refuse is the caller's business and says nothing about them: it is neither tried again nor answered by another target.
    """

    def __init__(self, name: str, tools: Tools | None) -> None:
        self._name = name
        self._tools = tools

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See the port. Closing it ends whatever runs for it."""
        tools = self._usable(message)
        order = Order(id=message.id, tool=message.tool or "", params=message.params, grant=grant, key_id=message.sender.key_id)
        heard: asyncio.Queue[Mapping[str, object] | None] = asyncio.Queue()

        def hear(event: Mapping[str, object]) -> None:
            # To a caller who takes nothing it is not told: what came of it all is in the result.
            if message.streamed and heard.qsize() < _AHEAD:
                heard.put_nowait(event)

        work = asyncio.ensure_future(self._done(tools, order, hear))
        work.add_done_callback(lambda _: heard.put_nowait(None))
        try:
            while (told := await heard.get()) is not None:
                yield Step(told)
            result = work.result()
        finally:
            if not work.done():
                work.cancel()
                with suppress(asyncio.CancelledError, DagiError):
                    await work
        yield Delta(said(order.tool, result))
        yield Data({"tool": order.tool, "result": result})
        yield Used(Usage())
        yield End(provider=self._name, model=MODEL)

    def _usable(self, message: Message) -> Tools:
        if message.mode != "devtools":
            raise CannotDo(
                "It does what tools are ordered to do (mode devtools), and answers no questions.", provider=self._name, field="mode"
            )
        if self._tools is None:
            detail = "devtools.enabled is false, or their service was not started, and devtools.url names none elsewhere"
            raise NotConfigured("The developer tools are not set up here.", provider=self._name, detail=detail)
        return self._tools

    async def _done(self, tools: Tools, order: Order, hear: Hear) -> Mapping[str, object]:
        try:
            return await tools.call(order, hear)
        except TargetFailure as error:
            error.provider = error.facts["provider"] = self._name
            raise


class DevtoolsProvider:
    """See `ports.provider.Provider`."""

    Settings = Settings
    needs_key = False

    def build(self, name: str, settings: Settings, tools: ProviderTools) -> Target:
        """The target that does what is ordered."""
        del settings
        return DevtoolsTarget(name, tools.devtools)

    async def check(self, name: str, settings: Settings, tools: ProviderTools) -> tuple[Finding, ...]:
        """Nothing is asked here: `dagi doctor` looks at the sandbox itself, and `/ready` of the service tells of the rest."""
        del name, settings, tools
        return (Finding(severity="ok", what="Runs in its own service; see the lines about the sandbox."),)


provider = DevtoolsProvider()
