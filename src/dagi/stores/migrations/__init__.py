"""Schema changes, oldest first, run by Alembic. A released one is never edited."""
