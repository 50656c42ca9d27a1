"""Rights: the audit chain, invitations, where a membership comes from, accounts on probation."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_REFUSED = "the audit is append-only"
# All that may ever change in a record is that its content goes.
_ERASES = (
    "new.content IS NULL AND new.dao_id = old.dao_id AND new.seq = old.seq AND new.at = old.at AND new.action = old.action "
    "AND new.outcome = old.outcome AND new.decision_id = old.decision_id AND new.content_digest = old.content_digest "
    "AND new.previous = old.previous AND new.hash = old.hash"
)


def upgrade() -> None:
    """Add it."""
    time = sa.DateTime(timezone=True)
    op.add_column("identity", sa.Column("trusted_from", time))
    op.add_column("membership", sa.Column("source", sa.String(16), nullable=False, server_default="manual"))
    op.create_table(
        "invitation",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("label", sa.String(200), nullable=False, server_default=""),
        sa.Column("uses_left", sa.Integer(), nullable=False),
        sa.Column("made_by", sa.String(200), nullable=False),
        sa.Column("expires_at", time, nullable=False),
        sa.Column("member_until", time),
        sa.Column("revoked_at", time),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_invitation"),
        sa.ForeignKeyConstraint(["dao_id"], ["dao.id"], name="fk_invitation_dao_id", ondelete="CASCADE"),
        sa.CheckConstraint("uses_left >= 0", name="ck_invitation_uses_left"),
    )
    op.create_index("ix_invitation_dao_id", "invitation", ["dao_id"])
    op.create_table(
        "audit",
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("at", time, nullable=False),
        sa.Column("action", sa.String(200), nullable=False),
        sa.Column("outcome", sa.String(16), nullable=False),
        sa.Column("decision_id", sa.String(64), nullable=False, server_default=""),
        sa.Column("content", sa.Text()),
        sa.Column("content_digest", sa.LargeBinary(32), nullable=False),
        sa.Column("previous", sa.LargeBinary(32), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("dao_id", "seq", name="pk_audit"),
        sa.CheckConstraint("outcome IN ('done', 'denied')", name="ck_audit_outcome"),
    )
    op.create_index("ix_audit_at", "audit", ["at"])
    op.create_table(
        "audit_head",
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(32), nullable=False),
        sa.PrimaryKeyConstraint("dao_id", name="pk_audit_head"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _keep_in_sqlite()
    else:
        _keep_in_postgresql()


def _keep_in_sqlite() -> None:
    op.execute(f"CREATE TRIGGER audit_kept BEFORE DELETE ON audit BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END")
    op.execute(f"CREATE TRIGGER audit_unchanged BEFORE UPDATE ON audit WHEN NOT ({_ERASES}) BEGIN SELECT RAISE(ABORT, '{_REFUSED}'); END")


def _keep_in_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'UPDATE' AND {_ERASES} THEN RETURN new; END IF; RAISE EXCEPTION '{_REFUSED}'; END $$"
    )
    op.execute("CREATE TRIGGER audit_kept BEFORE UPDATE OR DELETE ON audit FOR EACH ROW EXECUTE FUNCTION audit_kept()")
    op.execute("CREATE TRIGGER audit_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION audit_kept()")


def downgrade() -> None:
    """Remove it again, the audit with it."""
    for table in ("audit_head", "audit", "invitation"):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        op.execute("DROP FUNCTION audit_kept()")
    # Not in batches: building a table anew drops the old one, and with it what refers to its rows.
    op.drop_column("membership", "source")
    op.drop_column("identity", "trusted_from")
