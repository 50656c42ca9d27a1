"""The developer tools as a command has them, which works on the data directory itself."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import msgspec

from dagi.assemble.installation import Installation
from dagi.assemble.tools import built_toolbox, opened_parts
from dagi.observe.clock import SystemClock
from dagi.observe.metrics import Metrics
from dagi.observe.observer import SilentObserver
from dagi.ports.calls import CallLog
from dagi.ports.devtools import Tools
from dagi.ports.workspaces import WorkspaceRoom
from dagi.stores.calls import CallStore
from dagi.stores.database import Database
from dagi.stores.denials import DenialStore
from dagi.stores.upgrade import upgrade
from dagi.targets.devtools.toolbox import Records


class Bench(msgspec.Struct, frozen=True, kw_only=True):
    """What a command works with."""

    tools: Tools
    room: WorkspaceRoom
    calls: CallLog
    database: Database


@asynccontextmanager
async def opened_bench(installation: Installation) -> AsyncGenerator[Bench]:
    """Put the tools together for a command; leaving writes what is unwritten.

    Raises:
        StoreError: the database cannot be used.
    """
    clock, observer = SystemClock(), SilentObserver()
    async with AsyncExitStack() as stack:
        database = installation.database()
        stack.push_async_callback(database.close)
        await upgrade(database)
        denials = await stack.enter_async_context(DenialStore(database, clock, observer))
        calls = await stack.enter_async_context(CallStore(database, clock, observer))
        parts = await opened_parts(installation, clock)
        toolbox = built_toolbox(installation, parts, Records(calls, denials), clock, Metrics())
        yield Bench(tools=toolbox, room=parts.room, calls=calls, database=database)
