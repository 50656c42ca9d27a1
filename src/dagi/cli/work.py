"""Work on an installation's database, from commands."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dagi.assemble.installation import Installation
from dagi.stores.database import Database
from dagi.stores.upgrade import upgrade

T = TypeVar("T")


def with_database(of: Installation, work: Callable[[Database], Awaitable[T]]) -> T:
    """Do something with the installation's database, which is brought up to date first."""

    async def run() -> T:
        database = of.database()
        try:
            await upgrade(database)
            return await work(database)
        finally:
            await database.close()

    return asyncio.run(run())
