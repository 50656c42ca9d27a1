"""Channels: updates that platforms delivered, and what is owed to them."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    count = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    time = sa.DateTime(timezone=True)
    op.create_table(
        "inbox",
        sa.Column("id", count, sa.Identity(), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("bot", sa.String(64), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("chat", sa.String(40), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("received_at", time, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("progress", sa.Text(), nullable=False, server_default=""),
        sa.Column("holder", sa.String(32), nullable=False, server_default=""),
        sa.Column("held_until", time),
        sa.Column("handled_at", time),
        sa.PrimaryKeyConstraint("id", name="pk_inbox"),
        sa.UniqueConstraint("channel", "bot", "number", name="uq_inbox_channel_bot_number"),
    )
    unhandled = sa.text("handled_at IS NULL")
    op.create_index("ix_inbox_lane", "inbox", ["channel", "bot", "chat", "number"], sqlite_where=unhandled, postgresql_where=unhandled)
    op.create_index("ix_inbox_handled_at", "inbox", ["handled_at"])
    op.create_table(
        "outbox",
        sa.Column("id", count, sa.Identity(), nullable=False),
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("bot", sa.String(64), nullable=False),
        sa.Column("chat", sa.String(40), nullable=False),
        sa.Column("method", sa.String(64), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("plain", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False, server_default=""),
        sa.Column("optional", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("since", time, nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("due_at", time, nullable=False),
        sa.Column("holder", sa.String(32), nullable=False, server_default=""),
        sa.Column("held_until", time),
        sa.Column("settled_at", time),
        sa.Column("message", sa.String(40), nullable=False, server_default=""),
        sa.Column("why", sa.String(200), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_outbox"),
    )
    unsettled = sa.text("settled_at IS NULL")
    op.create_index("ix_outbox_lane", "outbox", ["channel", "bot", "chat", "id"], sqlite_where=unsettled, postgresql_where=unsettled)
    op.create_index("ix_outbox_settled_at", "outbox", ["settled_at"])
    op.create_table(
        "chat_move",
        sa.Column("channel", sa.String(16), nullable=False),
        sa.Column("bot", sa.String(64), nullable=False),
        sa.Column("chat", sa.String(40), nullable=False),
        sa.Column("first", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("channel", "bot", "chat", name="pk_chat_move"),
    )


def downgrade() -> None:
    """Take it back; what was not handled or delivered is gone."""
    op.drop_table("chat_move")
    op.drop_table("outbox")
    op.drop_table("inbox")
