"""Chats that belong to a DAO of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add them, and what counts their changes."""
    op.create_table(
        "chat_binding",
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("bot", sa.String(64), nullable=False),
        sa.Column("chat", sa.String(40), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("mention_only", sa.Boolean()),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("channel", "bot", "chat", name="pk_chat_binding"),
        sa.ForeignKeyConstraint(["dao_id"], ["dao.id"], name="fk_chat_binding_dao_id", ondelete="CASCADE"),
    )
    op.create_index("ix_chat_binding_dao_id", "chat_binding", ["dao_id"])
    op.add_column("dao", sa.Column("channels_version", sa.BigInteger(), nullable=False, server_default="1"))


def downgrade() -> None:
    """Take it back; chats belong to whom the configuration says then."""
    # Not in batches: building a table anew drops the old one, and with it what refers to its rows.
    op.drop_column("dao", "channels_version")
    op.drop_table("chat_binding")
