"""What a kind of database has to offer to be one of ours: a file of SQLite, or a PostgreSQL server."""

from typing import Literal, Protocol

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from dagi.errors import DagiError

# How a transaction that writes stands to others: nobody else writes meanwhile, or only others that add as it does.
Kind = Literal["alone", "adding"]


class Backend(Protocol):
    """One kind of database. `reader` gives consistent snapshots and cannot write; `writer` begins transactions that may."""

    @property
    def shown(self) -> str:
        """How sentences name the database: no path, no host, no password."""
        ...

    @property
    def reader(self) -> AsyncEngine:
        """The pool of connections that read."""
        ...

    @property
    def writer(self) -> AsyncEngine:
        """The pool of connections that write."""
        ...

    @property
    def patient_reader(self) -> AsyncEngine:
        """As `reader`, for what may take long: nothing bounds a statement."""
        ...

    @property
    def patient_writer(self) -> AsyncEngine:
        """As `writer`, for what may take long: it waits for others, and nothing bounds a statement."""
        ...

    async def read(self, connection: AsyncConnection, dao: str | None) -> None:
        """Begin to read: within one DAO, or everywhere."""
        ...

    async def write(self, connection: AsyncConnection, dao: str | None, kind: Kind) -> str:
        """Begin to write; returns once no other transaction stands in the way, with what `is_committed` knows this one by."""
        ...

    async def is_committed(self, mark: str) -> bool | None:
        """What became of a transaction whose end nobody heard of; None where that cannot be found out."""
        ...

    async def tidy(self) -> None:
        """Take what was removed off the disk, as far as we can."""
        ...

    def explained(self, error: BaseException, *, connecting: bool) -> DagiError | None:
        """What is wrong with the database, in a sentence an operator can act on; None where it is not the database's fault.

        Args:
            connecting: it happened while a connection was opened, where every error of the network is the database's.
        """
        ...

    async def close(self) -> None:
        """Give all connections back."""
        ...
