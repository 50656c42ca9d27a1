"""Limits of keys and DAOs, the secret before the last rotation, what an exchange used, and what was spent."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_LIMITED = ("dao", "api_key")
_LIMITS = ("rpm", "tokens_per_day", "money_per_month")


def upgrade() -> None:
    """Add columns, and the table of what was spent."""
    for table in _LIMITED:
        for limit in _LIMITS:
            op.add_column(table, sa.Column(limit, sa.BigInteger()))
    op.add_column("api_key", sa.Column("previous_digest", sa.LargeBinary(32)))
    op.add_column("api_key", sa.Column("previous_until", sa.DateTime(timezone=True)))
    op.add_column("exchange", sa.Column("key_id", sa.String(32), nullable=False, server_default=""))
    op.add_column("exchange", sa.Column("charged_on", sa.String(10), nullable=False, server_default=""))
    op.add_column("exchange", sa.Column("charged_tokens", sa.BigInteger(), nullable=False, server_default="0"))
    op.add_column("exchange", sa.Column("charged_micros", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "spend",
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("of", sa.String(8), nullable=False),
        sa.Column("holder", sa.String(200), nullable=False),
        sa.Column("day", sa.String(10), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("micros", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("dao_id", "of", "holder", "day", name="pk_spend"),
    )
    op.create_index("ix_spend_day", "spend", ["day"])


def downgrade() -> None:
    """Remove them."""
    op.drop_table("spend")
    for column in ("key_id", "charged_on", "charged_tokens", "charged_micros"):
        op.drop_column("exchange", column)
    for column in ("previous_digest", "previous_until"):
        op.drop_column("api_key", column)
    for table in _LIMITED:
        for limit in _LIMITS:
            op.drop_column(table, limit)
