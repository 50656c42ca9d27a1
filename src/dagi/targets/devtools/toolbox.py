"""The tools of this process: finds the one that is meant, checks right and parameters again, has it run in turn, records each call."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from dagi.errors import Denied, Invalid, UnknownTool
from dagi.message import Grant
from dagi.ports.audit import Denial, Denials
from dagi.ports.calls import ACTION, Called, CallLog, recording
from dagi.ports.clock import Clock
from dagi.ports.devtools import Hear, Order, ToolInfo
from dagi.targets.devtools.arguments import digest, read
from dagi.targets.devtools.tool import DEFAULT_WORKSPACE, Call, Kit, Tool
from dagi.targets.devtools.turns import Turns

_READING: Final = "devtools.read"
# What no workspace can be called is not written down as one.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}\Z")


class Records(msgspec.Struct, frozen=True):
    """Where calls and denials are written down."""

    calls: CallLog
    denials: Denials


class Toolbox:
    """Implements the port Tools.

    Args:
        turns: the line in front of the sandbox, for tools that run something there.
    """

    def __init__(self, kits: Iterable[Kit], turns: Turns, records: Records, clock: Clock) -> None:
        self._tools: dict[str, Tool[Any, Any]] = {tool.name: tool for kit in kits for tool in kit.tools()}
        self._infos = tuple(tool.info() for tool in self._tools.values())
        self._turns = turns
        self._records = records
        self._clock = clock

    def tools(self) -> Sequence[ToolInfo]:
        """See the port."""
        return self._infos

    async def call(self, order: Order, hear: Hear) -> Mapping[str, object]:
        """See the port. What writes or runs is on record before its result is told."""
        tool = self._tools.get(order.tool)
        if tool is None:
            raise UnknownTool("No developer tool has that name.", tool=order.tool[:64], allowed=sorted(self._tools))
        self._require(order, tool.entitlement)
        with recording(self._records.calls, _about(order), self._clock.monotonic):
            result = await self._done(tool, order, hear)
        if tool.entitlement != _READING:
            await self._records.calls.saved()
        return result

    async def _done(self, tool: Tool[Any, Any], order: Order, hear: Hear) -> Mapping[str, object]:
        takes = read(tool.takes, order.params)
        call = Call(id=order.id, grant=order.grant, hear=hear)
        if tool.runs:
            async with self._turns.taken(order.grant, hear):
                gives = await tool.work(call, takes)
        else:
            gives = await tool.work(call, takes)
        return msgspec.to_builtins(gives)

    def _require(self, order: Order, entitlement: str) -> None:
        try:
            require(order.grant, entitlement)
        except Denied as denied:
            denied.key_id = order.key_id
            self._records.denials.denied(Denial.of(denied, order.grant, order.id, order.key_id))
            denied.audited = True
            raise


def require(grant: Grant, entitlement: str) -> None:
    """Let the grant pass.

    Raises:
        Denied: it does not cover the entitlement.
        Invalid: it names no DAO, so there is nothing it could be for.
    """
    if not grant.dao_id:
        raise Invalid("Name the DAO: dao_id.", field="dao_id")
    grant.require(entitlement)


def _about(order: Order) -> Called:
    named = order.params.get("workspace", DEFAULT_WORKSPACE)
    return Called(
        request_id=order.id,
        dao_id=order.grant.dao_id,
        user_id=order.grant.user_id,
        key_id=order.key_id,
        action=f"{ACTION}{order.tool}",
        workspace=named if isinstance(named, str) and _NAME.match(named) else "",
        decision_id=order.grant.decision_id,
        digest=digest(order.params),
    )
