"""Many rows at once, without what SQLAlchemy otherwise does for each single one."""

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Table, insert
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.asyncio import AsyncConnection


class Batch:
    """Inserts rows of one table, all with the same columns. The statement and how each column is bound are worked out once a kind of
    database.

    Args:
        columns: the names of the columns the rows have; at least two.
    """

    def __init__(self, table: Table, columns: Sequence[str]) -> None:
        self._table = table
        self._columns = tuple(columns)
        self._compiled: dict[str, _Compiled] = {}

    async def insert(self, connection: AsyncConnection, rows: Sequence[Mapping[str, object]]) -> None:
        """Add the rows; each has exactly the batch's columns."""
        if not rows:
            return
        dialect = connection.dialect
        compiled = self._compiled.get(dialect.name)
        if compiled is None:
            compiled = self._compiled[dialect.name] = self._compile(dialect)
        values = [list(compiled.values(row)) for row in rows]
        for place, bind in compiled.binds:
            for row in values:
                row[place] = bind(row[place])
        await connection.exec_driver_sql(compiled.statement, [tuple(row) for row in values])

    def _compile(self, dialect: Dialect) -> "_Compiled":
        # Inline: no row is to come back, such as the id it was given.
        compiled = insert(self._table).inline().compile(dialect=dialect, column_keys=list(self._columns))
        names: Sequence[str] = compiled.positiontup or self._columns
        processors = [self._table.c[name].type.dialect_impl(dialect).bind_processor(dialect) for name in names]
        binds = [(place, bind) for place, bind in enumerate(processors) if bind is not None]
        return _Compiled(str(compiled), itemgetter(*names), binds)


class _Compiled(NamedTuple):
    """The statement, what takes the values out of a row in its order, and the places of those that have to be converted."""

    statement: str
    values: Callable[[Mapping[str, object]], tuple[Any, ...]]
    binds: list[tuple[int, Callable[[Any], Any]]]
