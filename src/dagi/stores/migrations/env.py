"""Alembic's entry: runs on the connection that `dagi.stores.upgrade` hands over, so that no URL has to be written to a file."""

from alembic import context

from dagi.stores.tables import metadata

connection = context.config.attributes["connection"]
# Batch mode: SQLite cannot alter a table in place, so Alembic builds it anew.
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
