"""The two kinds of database a benchmark about data runs on."""

from collections.abc import Generator
from contextlib import contextmanager

from dagi.stores.postgres import Address
from dagi.testing.postgres import PostgresServer, programs

KINDS = ("SQLite", "PostgreSQL")


def is_there(kind: str) -> bool:
    """Whether this machine has it."""
    return kind == "SQLite" or programs() is not None


@contextmanager
def empty_database(kind: str) -> Generator[Address | None]:
    """An empty database of a server that writes to its disk before it says so; None for a file, which the installation makes."""
    if kind == "SQLite":
        yield None
        return
    server = PostgresServer(durable=True)
    try:
        yield Address(url=server.url(server.database()))
    finally:
        server.close()
