"""What a developer tool is: a name, a right, the forms of what it takes and gives, and the work."""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from dagi.access.entitlements import TOOL_ENTITLEMENTS
from dagi.message import Grant
from dagi.ports.devtools import Hear, ToolInfo

TakesT = TypeVar("TakesT", bound=msgspec.Struct)
GivesT = TypeVar("GivesT", bound=msgspec.Struct)
DEFAULT_WORKSPACE = "main"


class InWorkspace(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of what tools take: every tool works in one workspace of the grant's DAO."""

    workspace: str = DEFAULT_WORKSPACE


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a tool.

    Attributes:
        id: the request id.
        hear: told what happens meanwhile; must not wait and must not raise.
    """

    id: str
    grant: Grant
    hear: Hear


class Tool(msgspec.Struct, Generic[TakesT, GivesT], frozen=True, kw_only=True):
    """A tool. Its entitlement stands in `dagi.access.entitlements.TOOL_ENTITLEMENTS`.

    Attributes:
        takes: a struct derived from `InWorkspace` whose fields carry `msgspec.Meta` descriptions.
        runs: it runs something in the sandbox.
    """

    name: str
    summary: str
    takes: type[TakesT]
    gives: type[GivesT]
    work: Callable[[Call, TakesT], Awaitable[GivesT]]
    runs: bool = False

    @property
    def entitlement(self) -> str:
        """What its caller must hold."""
        return TOOL_ENTITLEMENTS[self.name]

    def info(self) -> ToolInfo:
        """The tool as callers see it."""
        return ToolInfo(
            name=self.name,
            summary=self.summary,
            entitlement=self.entitlement,
            runs=self.runs,
            takes=msgspec.json.schema(self.takes),
            gives=msgspec.json.schema(self.gives),
        )


class Kit(Protocol):
    """Some tools that belong together: those of files, of git, of runs."""

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        """The tools."""
        ...
