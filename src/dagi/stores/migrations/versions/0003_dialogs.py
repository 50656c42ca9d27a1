"""Dialogs: summaries of sessions, when text was removed, who was erased."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what retention, erasure and summaries need."""
    time = sa.DateTime(timezone=True)
    count = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    kept = sa.text("cleared_at IS NULL")
    op.add_column("exchange", sa.Column("cleared_at", time))
    op.create_index("ix_exchange_kept", "exchange", ["at"], sqlite_where=kept, postgresql_where=kept)
    op.create_table(
        "session_summary",
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("through_id", count, nullable=False),
        sa.Column("since", time, nullable=False),
        sa.PrimaryKeyConstraint("dao_id", "user_id", "session_id", name="pk_session_summary"),
    )
    op.create_table(
        "erasure",
        sa.Column("id", count, sa.Identity(), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False, server_default=""),
        sa.Column("at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_erasure"),
    )


def downgrade() -> None:
    """Remove it again; what was erased stays erased."""
    op.drop_table("erasure")
    op.drop_table("session_summary")
    op.drop_index("ix_exchange_kept", "exchange")
    op.drop_column("exchange", "cleared_at")
