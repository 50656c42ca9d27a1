"""Work on an installation's database, from commands."""

import asyncio
import os
import pwd
from collections.abc import Awaitable, Callable
from typing import TypeVar

from dagi.access.actor import Actor
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


def operator() -> Actor:
    """Whoever types the command, by the name the operating system has for it: what the audit tells."""
    try:
        return Actor.operator(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:
        return Actor.operator(f"uid-{os.getuid()}")
