"""Linking accounts: how each was proved, what was begun, which proofs were taken."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    time = sa.DateTime(timezone=True)
    op.add_column("identity", sa.Column("proved_by", sa.String(32), nullable=False, server_default=""))
    op.create_table(
        "pending_link",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("account", sa.String(200), nullable=False),
        sa.Column("other", sa.String(200), nullable=False, server_default=""),
        sa.Column("shown_to", sa.String(200), nullable=False, server_default=""),
        sa.Column("proved_by", sa.String(32), nullable=False, server_default=""),
        sa.Column("detail", sa.Text(), nullable=False, server_default=""),
        sa.Column("created_at", time, nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.Column("used_at", time),
        sa.PrimaryKeyConstraint("digest", name="pk_pending_link"),
    )
    op.create_index("ix_pending_link_account", "pending_link", ["account"])
    op.create_index("ix_pending_link_expires_at", "pending_link", ["expires_at"])
    op.create_table(
        "used_proof",
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("until", time, nullable=False),
        sa.PrimaryKeyConstraint("digest", name="pk_used_proof"),
    )
    op.create_index("ix_used_proof_until", "used_proof", ["until"])
    op.create_table(
        "wrong_code",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("account", sa.String(200), nullable=False),
        sa.Column("at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_wrong_code"),
    )
    op.create_index("ix_wrong_code_account", "wrong_code", ["account"])


def downgrade() -> None:
    """Remove it again. Accounts stay linked."""
    for table in ("wrong_code", "used_proof", "pending_link"):
        op.drop_table(table)
    op.drop_column("identity", "proved_by")
