"""The tables of linking: what was begun, and what was used. They belong to no DAO. See `tables`."""

from sqlalchemy import Column, LargeBinary, String, Table, Text

from dagi.stores.columns import UtcTime, metadata

# What was begun to link accounts, for ten minutes and a while after, so that what is told late or twice can be told apart from nonsense.
pending_link = Table(
    "pending_link",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),  # SHA-256 of the secret, which has 130 random bits
    Column("kind", String(16), nullable=False),
    Column("account", String(200), nullable=False, index=True),
    Column("other", String(200), nullable=False, server_default=""),
    Column("shown_to", String(200), nullable=False, server_default=""),
    Column("proved_by", String(32), nullable=False, server_default=""),
    Column("detail", Text, nullable=False, server_default=""),
    Column("created_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False, index=True),
    Column("used_at", UtcTime),
)

# Proofs that count by themselves, so that each is taken once: Telegram's hashes.
used_proof = Table(
    "used_proof",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("until", UtcTime, nullable=False, index=True),
)

# Wrong codes, by who told them.
wrong_code = Table(
    "wrong_code",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("account", String(200), nullable=False, index=True),
    Column("at", UtcTime, nullable=False),
)

TABLES = (pending_link, used_proof, wrong_code)
