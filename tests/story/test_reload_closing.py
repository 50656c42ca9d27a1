"""Providers that hold something, such as a process of their own, when a reload takes them away."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec
import pytest

from dagi.assemble.reload import Fresh, Live, read_fresh
from dagi.errors import ProviderError
from dagi.message import Grant, Message
from dagi.observe.clock import SystemClock
from dagi.observe.observer import SilentObserver
from dagi.outbound import Client
from dagi.ports.provider import ProviderTools
from dagi.ports.target import Delta, End, Event
from dagi.targets.resilience.answers import Answers
from dagi.testing.facts import MemoryFacts
from dagi.testing.upstream import Answer
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio


class Holding:
    """A provider whose target answers only while it has not been closed."""

    def __init__(self) -> None:
        self.closed = 0

    def build(self, name: str, settings: object, tools: ProviderTools) -> "Holding":
        del name, settings, tools
        return self

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        del message, grant
        if self.closed:
            raise ProviderError("It was closed.", provider="native")
        yield Delta("still there")
        yield End(provider="native", model="held")

    async def aclose(self) -> None:
        self.closed += 1


@pytest.mark.parametrize("stream", [True, False])
async def test_what_a_request_may_still_ask_is_closed_only_after_it(stack, stream: bool) -> None:
    clock, held = SystemClock(), Holding()
    fresh = read_fresh(stack.installation)
    configured = tuple(msgspec.structs.replace(one, provider=held) if one.name == "native" else one for one in fresh.configured)
    async with Client() as http:
        tools = ProviderTools(http=http, facts=MemoryFacts(), clock=clock)
        live = Live(msgspec.structs.replace(fresh, configured=configured), clock, SilentObserver(), lambda _: tools, Answers(clock), {})
        router = stack.front.router
        router.policy = live.policy
        stack.upstream.script(Answer(status=400, hang_after=0))
        asked = asyncio.ensure_future(stack.route("Hello?", stream=stream))
        await eventually(lambda: stack.upstream.active == 1)
        without = Fresh(fresh.installation, tuple(one for one in configured if one.name != "native"), fresh.rules, ())
        router.policy = live.replaced(without, router.quiet())
        assert (await stack.http.get("/health")).status_code == 200
        stack.upstream.release()
        assert "still there" in (await asked).text
        await eventually(lambda: held.closed == 1)
        await live.aclose()
        assert held.closed == 1
