"""What the commands of the developer tools have in common: they work on the data directory itself, as its operator."""

import asyncio
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Annotated, TypeVar

import typer

from dagi.access.entitlements import TOOL_ENTITLEMENTS
from dagi.access.names import check_dao
from dagi.assemble.bench import Bench, opened_bench
from dagi.assemble.installation import Installation
from dagi.cli.work import operator
from dagi.errors import Invalid
from dagi.message import Grant
from dagi.observe.clock import SystemClock
from dagi.stores.daos import Daos

T = TypeVar("T")
InDao = Annotated[str | None, typer.Option("--dao", help="The DAO's id; the profile's default where left out.")]


def with_bench(of: Installation, dao: str | None, work: Callable[[Bench, Grant], Awaitable[T]]) -> T:
    """Do something with the tools in a DAO, which has to be there.

    Raises:
        Invalid: no DAO is named.
        Missing: there is none of that name.
    """
    named = dao or of.loaded.settings.dao.default
    if named is None:
        raise Invalid("Name the DAO: --dao.", field="dao")
    may = frozenset(TOOL_ENTITLEMENTS.values())
    grant = Grant(dao_id=check_dao(named, "dao"), user_id=operator().id, entitlements=may, reason="operator", decision_id=token_hex(8))

    async def run() -> T:
        async with opened_bench(of) as bench:
            await Daos(bench.database, SystemClock()).show(grant.dao_id)
            return await work(bench, grant)

    return asyncio.run(run())
