"""CallLog: what was done with the developer tools, in the audit."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Protocol

import msgspec

from dagi.errors import DagiError

# Its action in the audit is this and the tool's name.
ACTION = "devtools."


class Called(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a tool, or a change of a workspace, that is over.

    Attributes:
        action: `devtools.<tool>`, or `workspace.<done>`.
        workspace: the one it was about; empty where none was named.
        decision_id: of the decision behind it.
        digest: SHA-256 of the arguments as canonical JSON, in hex: tells equal calls, shows none of what they hold.
        outcome: `ok`, `cancelled` (the caller went away), or the code of the error.
    """

    request_id: str
    dao_id: str
    user_id: str
    key_id: str
    action: str
    workspace: str
    decision_id: str
    digest: str
    outcome: str = "INTERNAL"
    ms: float = 0.0


class CallLog(Protocol):
    """Writes calls down."""

    def admit(self) -> None:
        """Make sure that a call can be written down once it is over.

        Raises:
            Overloaded: it cannot, so it must not begin.
        """
        ...

    def called(self, call: Called) -> None:
        """Have it written down; does not wait and does not fail."""
        ...

    async def saved(self) -> None:
        """Wait until everything that was called before is on disk.

        Raises:
            Overloaded: it cannot be written down now; it is kept, and tried again.
        """
        ...


@contextmanager
def recording(calls: CallLog, call: Called, monotonic: Callable[[], float]) -> Generator[None]:
    """Have a call written down when the context ends, with how it ended and how long it took.

    Raises:
        Overloaded: it could not be written down; nothing has begun.
    """
    calls.admit()
    began, outcome = monotonic(), call.outcome
    try:
        yield
        outcome = "ok"
    except DagiError as error:
        outcome = error.code
        raise
    except asyncio.CancelledError:
        outcome = "cancelled"
        raise
    finally:
        calls.called(msgspec.structs.replace(call, outcome=outcome, ms=round((monotonic() - began) * 1000, 3)))
