"""The developer tools, wherever they run: in this process, or in the devtools service behind HTTP."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from dagi.message import Grant

# Told of what a tool does while it works: a JSON object with the key `kind`, for example `queued`, `test`, `output`, `cell`.
Hear = Callable[[Mapping[str, object]], None]


class ToolInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A tool, as callers and models see it.

    Attributes:
        entitlement: what its caller must hold.
        runs: it runs code in the sandbox, so it waits for a place there, and is off where there is no sandbox.
        takes, gives: JSON Schemas of its parameters and of its result.
    """

    name: str
    summary: str
    entitlement: str
    runs: bool
    takes: Mapping[str, object]
    gives: Mapping[str, object]


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be done, and by whose right.

    Attributes:
        id: the request id, one through all services.
        params: the tool's parameters, unchecked.
        key_id: the API key it came with, for the audit.
    """

    id: str
    tool: str
    params: Mapping[str, object]
    grant: Grant
    key_id: str = ""


class Tools(Protocol):
    """Does what is ordered."""

    def tools(self) -> Sequence[ToolInfo]:
        """All there are, also those that are off for want of a sandbox."""
        ...

    async def call(self, order: Order, hear: Hear) -> Mapping[str, object]:
        """Do it; cancelling the call ends whatever runs for it.

        Args:
            hear: told what happens meanwhile; must not wait and must not raise.

        Returns:
            The tool's result, as JSON. A test run that fails, or that is stopped at one of its limits, is a result as well.

        Raises:
            UnknownTool: no tool has that name.
            Invalid: a parameter is missing, unknown or wrong; names it as `params.<name>`.
            Denied: the grant does not cover the tool.
            Missing, Conflict, PreconditionFailed, PayloadTooLarge: of the workspace and its files.
            QueueFull: too many wait for the sandbox.
            SandboxUnavailable: there is none.
        """
        ...
