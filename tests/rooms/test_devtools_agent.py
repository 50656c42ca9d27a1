"""The devtools agent where its tools hang, or the rights behind it go away: it ends, and says what became of the work."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from dagi.errors import DagiError
from dagi.message import Grant, Message, Sender, Usage
from dagi.observe.clock import SystemClock
from dagi.ports.devtools import Hear, Order, ToolInfo
from dagi.ports.target import Delta, End, Event, ToolCall, Used
from dagi.targets.devtools.agent import work
from dagi.targets.devtools.agent.provider import spoken
from dagi.targets.devtools.agent.work import Answered, Bounds, Helpers, Work
from dagi.targets.resilience.fallback import Fallback
from dagi.testing.targets import ScriptedTarget

pytestmark = pytest.mark.anyio
GRANT = Grant(dao_id="green", user_id="tg:1", entitlements=frozenset({"devtools.read", "devtools.write"}), reason="role_grants")
WRITE = ToolInfo(name="fs_write", summary="Write", entitlement="devtools.write", runs=False, takes={}, gives={})
CALLS = (
    ToolCall(index=0, id="a", name="fs_write", arguments="{}"),
    Used(Usage(prompt_tokens=90, completion_tokens=10, total_tokens=100)),
    End(provider="model", model="m", finish_reason="tool_calls"),
)


class Hanging:
    """Tools of which some orders are never done."""

    def __init__(self, *hangs: str) -> None:
        self.hangs = hangs
        self.done: list[str] = []

    def tools(self) -> Sequence[ToolInfo]:
        return (WRITE,)

    async def call(self, order: Order, hear: Hear) -> Mapping[str, object]:
        del hear
        wish = f"{order.tool} {order.params.get('action', '')}".strip()
        if wish in self.hangs:
            await asyncio.Event().wait()
        self.done.append(wish)
        return {"workspace": "main.agent-1", "branch": None}


async def worked(tools: Hanging, told: list[Event], rights: Sequence[Grant] = ()) -> tuple[Answered, Message]:
    left = list(rights)
    message = Message(id="r", sender=Sender(dao_id="green", user_id="tg:1"), prompt="Зроби це, будь ласка")
    clock, model = SystemClock(), ScriptedTarget(CALLS, (Delta("Done."), End(provider="model", model="m")))
    helpers = Helpers(
        tools=tools,
        chain=Fallback([("model", model)], clock),
        clock=clock,
        rights=lambda: left.pop(0) if len(left) > 1 else (left or [GRANT])[0],
    )
    async with asyncio.timeout(5):
        return await Work(message, helpers, Bounds(steps=5, tokens=9_000, seconds=60), told.append).do(), message


@pytest.mark.parametrize("hangs", ["git_worktree finish", "git_worktree add"])
async def test_tools_that_hang_hold_nobody_for_ever(monkeypatch: pytest.MonkeyPatch, hangs: str) -> None:
    monkeypatch.setattr(work, "_BRINGING_S", 0.05)
    answer, message = await worked(tools := Hanging(hangs), [])
    text = spoken(answer, message)
    assert text.startswith("Довелося зупинитися")
    assert hangs not in tools.done
    assert (answer.stopped, "main.agent-1" in text) == (("PROVIDER_TIMEOUT", True) if hangs.endswith("finish") else ("time", False))


async def test_rights_that_go_away_on_the_way_end_it_and_what_was_spent_is_told() -> None:
    told: list[Event] = []
    gone = Grant(dao_id="green", user_id="tg:1", reason="suspended")
    answer, message = await worked(tools := Hanging(), told, (GRANT, gone))
    assert answer.stopped is not None
    assert [step.outcome for step in answer.taken] == ["UNKNOWN_TOOL"]
    assert "Your membership is suspended" in spoken(answer, message)
    assert tools.done == []
    assert [event.usage.total_tokens for event in told if isinstance(event, Used)][-1] == 100


async def test_a_right_that_was_never_there_asks_no_model() -> None:
    told: list[Event] = []
    with pytest.raises(DagiError):
        await worked(Hanging(), told, (Grant(dao_id="green", user_id="tg:1"),))
    assert told == []
