"""Many rows at once, without what SQLAlchemy otherwise does for each single one."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection

_Bind = Callable[[Any], Any] | None


class Batch:
    """Inserts rows of one table, all with the same columns. The statement and how each column is bound are worked out once.

    Args:
        columns: the names of the columns the rows have.
    """

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._table = table
        self._columns = tuple(columns)
        self._compiled: tuple[str, list[tuple[str, _Bind]]] | None = None

    async def insert(self, connection: AsyncConnection, rows: Sequence[Mapping[str, object]]) -> None:
        """Add the rows; each has exactly the batch's columns."""
        if not rows:
            return
        if self._compiled is None:
            self._compiled = self._compile(connection.dialect)
        statement, columns = self._compiled
        values = [tuple(row[name] if bind is None else bind(row[name]) for name, bind in columns) for row in rows]
        await connection.exec_driver_sql(statement, values)

    def _compile(self, dialect: Dialect) -> tuple[str, list[tuple[str, _Bind]]]:
        compiled = insert(self._table).compile(dialect=dialect, column_keys=list(self._columns))
        names: Sequence[str] = compiled.positiontup or self._columns
        return str(compiled), [(name, _processor(self._table, name, dialect)) for name in names]


def _processor(table: Table, name: str, dialect: Dialect) -> _Bind:
    return table.c[name].type.dialect_impl(dialect).bind_processor(dialect)
