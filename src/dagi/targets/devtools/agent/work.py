"""One job of the agent: ask the model, do what it calls for, tell it what came of it, until it is done or a limit is reached."""

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from secrets import token_hex
from typing import Final

import msgspec

from dagi.errors import DagiError, Invalid, ProviderTimeout, UnknownTool
from dagi.message import Call, Grant, Message, Turn, Usage
from dagi.ports.clock import Clock
from dagi.ports.devtools import Order, Tools
from dagi.ports.dialogs import UNCOUNTED
from dagi.ports.hearing import gathered
from dagi.ports.target import Chain, Delta, End, Event, Step, ToolCall, Tried, Used, Waited
from dagi.targets.devtools.agent.counting import added, used
from dagi.targets.devtools.agent.offering import INSTRUCTIONS, WRITING, answered, arguments, asked, offered, options, shown, trimmed
from dagi.targets.devtools.saying import said
from dagi.targets.devtools.tool import DEFAULT_WORKSPACE

Tell = Callable[[Event], None]
BRANCHES: Final = "agent/"
_MOST_CALLS: Final = 16
_LONGEST_ID: Final = 64
_MOST_DIFF: Final = 60_000
_MESSAGE: Final = 200
# How long bringing the work back may take, the line before the sandbox included: tools that hang keep nobody for ever.
_BRINGING_S: Final = 50.0


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """When it stops, done or not: after so many answers of the model, tokens of all of them together, and seconds."""

    steps: int
    tokens: int
    seconds: float


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """One step that was taken. `outcome` is `ok` or the code of an error."""

    tool: str
    arguments: Mapping[str, object]
    outcome: str
    said: str
    ms: float


class Answered(msgspec.Struct, kw_only=True):
    """What the model said at last, and what became of its work.

    Attributes:
        stopped: why it ended before the model was done: `steps`, `tokens`, `time`, or the code of an error; None where it was done.
        why: the error's sentence.
        changes: what `git_worktree` gave at the end; None where nothing was written.
    """

    text: str = ""
    stopped: str | None = None
    why: str = ""
    end: End | None = None
    usage: Usage = Usage()
    taken: list[Taken] = []
    changes: Mapping[str, object] | None = None
    diff: str = ""
    diff_cut: bool = False


class Helpers(msgspec.Struct, frozen=True, kw_only=True):
    """What it works with. `rights`: what the one who asked may do by now."""

    tools: Tools
    chain: Chain
    clock: Clock
    rights: Callable[[], Grant]


class Work:
    """One job. `do` may be cancelled at any time: what was written is brought to a branch all the same."""

    def __init__(self, message: Message, helpers: Helpers, bounds: Bounds, tell: Tell) -> None:
        named = message.metadata.get("workspace")
        self._home = named if isinstance(named, str) else DEFAULT_WORKSPACE
        self._place = self._home
        self._message = message
        self._helpers = helpers
        self._bounds = bounds
        self._tell = tell
        self._answer = Answered()
        self._ids: set[str] = set()
        self._turns = [Turn("system", INSTRUCTIONS), *message.context.history, *message.earlier, Turn("user", message.prompt)]

    async def do(self) -> Answered:
        """Do it.

        Raises:
            DagiError: nothing was done, because the model did not answer at all.
        """
        answer, seconds = self._answer, self._bounds.seconds
        deadline = self._message.limits.deadline
        if deadline is not None:
            # Time is left to bring the work to its branch.
            seconds = min(seconds, 0.9 * (deadline - self._helpers.clock.monotonic()))
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._steps()
        except TimeoutError:
            answer.stopped = "time"
        except DagiError as error:
            if not answer.taken:
                raise
            answer.stopped, answer.why = error.code, error.message
        finally:
            if self._place != self._home:
                await self._brought_back()
        return answer

    async def _steps(self) -> None:
        answer = self._answer
        for _ in range(self._bounds.steps):
            calls = await self._asked()
            if not calls:
                return
            self._turns.append(asked(answer.text, calls))
            if answer.text.strip():
                self._tell(Step({"kind": "said", "text": answer.text}))
            for call in calls:
                self._turns.append(await self._done(call))
            if answer.usage.total_tokens >= self._bounds.tokens:
                answer.stopped = "tokens"
                return
        answer.stopped = "steps"

    async def _asked(self) -> list[Call]:
        """Ask the model for the next step; what it said is the answer's text."""
        grant = self._helpers.rights()
        grant.require("devtools.read")
        infos = offered(self._helpers.tools.tools(), grant)
        message = msgspec.structs.replace(
            self._message,
            prompt="",
            earlier=(),
            context=msgspec.structs.replace(self._message.context, facts=None, roles=None, proposals=None, history=(), summary=""),
            conversation=trimmed(self._turns),
            options=options(infos),
            purpose="agent",
            provider=None,
            streamed=True,
            entire=False,
            reuse_s=None,
        )
        calls: dict[int, ToolCall] = {}
        texts: list[str] = []
        for event in await self._spending(message, grant):
            match event:
                case Delta(text):
                    texts.append(text)
                case ToolCall():
                    known = calls.get(event.index, event)
                    calls[event.index] = event if known is event else _joined(known, event)
                case End():
                    self._answer.end = event
                case _:
                    pass
        self._answer.text = "".join(texts)
        return [self._named(call) for _, call in sorted(calls.items())[:_MOST_CALLS]]

    async def _spending(self, message: Message, grant: Grant) -> list[Event]:
        """Ask the model, and tell at once what that costs: whoever leaves, or is left without an answer, has spent it all the same."""
        before, size = self._answer.usage, message.tokens()
        self._tell(Used(added(before, Usage(prompt_tokens=size, total_tokens=size))))
        try:
            events = await gathered(self._helpers.chain.tell, message, grant, self._beside)
        except DagiError:
            self._tell(Used(before if before.total_tokens else UNCOUNTED))
            raise
        self._answer.usage = added(before, used(events, size))
        self._tell(Used(self._answer.usage))
        return events

    def _beside(self, event: Waited | Tried | Used) -> None:
        if not isinstance(event, Used):
            self._tell(event)

    def _named(self, call: ToolCall) -> Call:
        """The call with an id that no other one has: results are told apart by it, and models are not to be trusted with that."""
        identity = call.id
        if not identity or identity in self._ids or len(identity) > _LONGEST_ID:
            # Nine letters and digits, which is the one form that all servers take.
            identity = f"call{len(self._ids):05}"
        self._ids.add(identity)
        return Call(identity, call.name, call.arguments)

    async def _done(self, call: Call) -> Turn:
        """Do what the model calls for."""
        wanted, began = arguments(call), self._helpers.clock.monotonic()
        told = {} if wanted is None else shown(wanted)
        self._tell(Step({"kind": "call", "tool": call.name[:64], "arguments": told}))
        outcome, result = "ok", dict[str, object]()
        try:
            result = {"result": await self._called(call.name, wanted)}
            words = said(call.name, _mapping(result["result"]))
        except DagiError as error:
            outcome, words = error.code, error.message
            result = {"error": error.code, "message": error.message}
        ms = round((self._helpers.clock.monotonic() - began) * 1000, 1)
        self._answer.taken.append(Taken(tool=call.name[:64], arguments=told, outcome=outcome, said=words, ms=ms))
        self._tell(Step({"kind": "result", "tool": call.name[:64], "outcome": outcome, "said": words, "ms": ms}))
        return answered(call, f"{call.name[:64]} in the workspace {self._home}", result)

    async def _called(self, tool: str, wanted: Mapping[str, object] | None) -> Mapping[str, object]:
        grant = self._helpers.rights()
        if tool not in {info.name for info in offered(self._helpers.tools.tools(), grant)}:
            raise UnknownTool(f"There is no tool {json.dumps(tool[:64])} for this.")
        if wanted is None:
            raise Invalid("The arguments have to be a JSON object.", field="arguments")
        if tool in WRITING and self._place == self._home:
            await _to_its_end(self._place_made(grant))
        return await self._order(tool, {**wanted, "workspace": self._place}, grant)

    async def _order(self, tool: str, params: Mapping[str, object], grant: Grant) -> Mapping[str, object]:
        sender = self._message.sender
        order = Order(id=self._message.id, tool=tool, params=params, grant=grant, key_id=sender.key_id)
        return await self._helpers.tools.call(order, lambda heard: self._tell(Step({**heard, "tool": tool})))

    async def _place_made(self, grant: Grant) -> None:
        """Make the workspace of its own. Also for whoever leaves meanwhile: one that nobody knows of would be in the DAO's way for ever."""
        wish = {"action": "add", "workspace": self._home, "branch": f"{BRANCHES}{token_hex(4)}"}
        self._place = str((await self._order("git_worktree", wish, grant))["workspace"])

    async def _brought_back(self) -> None:
        """Make a branch of what was written, and show how it differs. Nobody who leaves keeps it from being kept."""
        try:
            await _to_its_end(self._kept())
        except TimeoutError:
            why = f"The developer tools do not answer. The work so far is in the workspace {self._place}."
            self._answer.stopped, self._answer.why = ProviderTimeout.code, why

    async def _kept(self) -> None:
        answer = self._answer
        message = (
            f"{self._message.prompt.strip()[:_MESSAGE] or 'Changes'}\n\nMade by the devtools agent for {self._message.sender.user_id}."
        )
        try:
            grant = self._helpers.rights()
            done = await self._order("git_worktree", {"action": "finish", "workspace": self._place, "message": message}, grant)
            if done.get("branch"):
                answer.changes = done
                wish = {"workspace": self._home, "base": done["base"], "to": done["branch"], "max_bytes": _MOST_DIFF}
                diff = await self._order("git_diff", wish, grant)
                answer.diff, answer.diff_cut = str(diff["diff"]), bool(diff["cut"])
        except DagiError as error:
            answer.stopped, answer.why = error.code, f"{error.message} The work so far is in the workspace {self._place}."


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Have it done, also where the caller leaves meanwhile, unless it takes too long.

    Raises:
        TimeoutError: it did.
    """

    async def bounded() -> None:
        async with asyncio.timeout(_BRINGING_S):
            await work

    task = asyncio.ensure_future(bounded())
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if not task.cancelled():
            # Looked at, so that nobody complains: whoever left is not told.
            task.exception()
        raise


def _joined(known: ToolCall, piece: ToolCall) -> ToolCall:
    return msgspec.structs.replace(
        known, id=known.id or piece.id, name=known.name or piece.name, arguments=known.arguments + piece.arguments
    )


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
