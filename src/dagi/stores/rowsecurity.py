"""Row-level security on PostgreSQL: the second belt around what the repositories ask for.

A transaction says in `dagi.dao` for which DAO it works, or `*` for all; each table with rows of one DAO shows and takes no others, and
none at all where nothing was said. The owner of the tables is bound by it too (FORCE). A superuser, or a role with BYPASSRLS, is not.
"""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import Connection, inspect, text

from dagi.stores.tables import metadata

POLICY: Final = "dagi_dao"
# Beside the tables of the metadata: the words of passages, which SQLite keeps in an index of its own kind.
_BESIDE: Final = {"dao": "id", "fact_fts": "dao_id"}

_PROTECTED: Final = text(
    """
    SELECT pg_class.relname FROM pg_class JOIN pg_policy ON pg_policy.polrelid = pg_class.oid
    WHERE pg_class.relnamespace = current_schema()::regnamespace AND pg_policy.polname = :policy
      AND pg_class.relrowsecurity AND pg_class.relforcerowsecurity
    """
)
_UNBOUND: Final = text("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user")


def shared_tables() -> dict[str, str]:
    """Every table with rows of single DAOs, and the column that names the DAO."""
    return {table.name: "dao_id" for table in metadata.sorted_tables if "dao_id" in table.c} | _BESIDE


def unprotected(connection: Connection) -> list[str]:
    """Tables that are there and lack the policy, by name."""
    protected = set(connection.scalars(_PROTECTED, {"policy": POLICY}))
    return sorted((shared_tables().keys() & set(inspect(connection).get_table_names())) - protected)


def protect(connection: Connection, tables: Iterable[str]) -> None:
    """Give tables their policy."""
    columns = shared_tables()
    # In a subquery of its own the setting is read once a statement, not once a row.
    said = "(SELECT current_setting('dagi.dao', true))"
    for table in tables:
        for statement in (
            f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
            f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
            f"DROP POLICY IF EXISTS {POLICY} ON {table}",
            f"CREATE POLICY {POLICY} ON {table} USING ({columns[table]} = {said} OR {said} = '*')",
        ):
            connection.exec_driver_sql(statement)


def is_bound(connection: Connection) -> bool:
    """Whether row-level security binds whoever is connected."""
    return not connection.scalar(_UNBOUND)
