"""Governance: proposals, votes, and memberships that tokens give."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add it."""
    op.add_column("dao", sa.Column("proposals_version", sa.BigInteger(), nullable=False, server_default="1"))
    _proposals()
    _tokens()


def _proposals() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "proposal",
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("choices", sa.Text(), nullable=False),
        sa.Column("quorum", sa.String(24), nullable=False),
        sa.Column("approval", sa.String(24), nullable=False, server_default=""),
        sa.Column("abstentions_count", sa.Boolean(), nullable=False),
        sa.Column("electorate", sa.Integer(), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("opens_at", time, nullable=False),
        sa.Column("closes_at", time, nullable=False),
        sa.Column("ended_at", time),
        sa.Column("ended_by", sa.String(200), nullable=False, server_default=""),
        sa.Column("cancelled", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.PrimaryKeyConstraint("dao_id", "number", name="pk_proposal"),
        sa.ForeignKeyConstraint(["dao_id"], ["dao.id"], name="fk_proposal_dao_id", ondelete="CASCADE"),
        sa.CheckConstraint("closes_at > opens_at", name="ck_proposal_times"),
        sa.CheckConstraint("electorate > 0", name="ck_proposal_electorate"),
    )
    of_proposal = (["dao_id", "number"], ["proposal.dao_id", "proposal.number"])
    op.create_table(
        "elector",
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("person_id", sa.String(36), nullable=False),
        sa.PrimaryKeyConstraint("dao_id", "number", "person_id", name="pk_elector"),
        sa.ForeignKeyConstraint(*of_proposal, name="fk_elector_dao_id_number", ondelete="CASCADE"),
    )
    op.create_index("ix_elector_person_id", "elector", ["person_id"])
    op.create_table(
        "vote",
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("person_id", sa.String(36), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("choice", sa.Integer(), nullable=False),
        sa.Column("weight", sa.String(78), nullable=False),
        sa.Column("entered_by", sa.String(200), nullable=False),
        sa.Column("at", time, nullable=False),
        sa.PrimaryKeyConstraint("dao_id", "number", "person_id", name="pk_vote"),
        sa.ForeignKeyConstraint(*of_proposal, name="fk_vote_dao_id_number", ondelete="CASCADE"),
        sa.CheckConstraint("choice >= 0", name="ck_vote_choice"),
    )
    op.create_index("ix_vote_person_id", "vote", ["person_id"])


def _tokens() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "token_rule",
        sa.Column("id", sa.String(16), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("chain_id", sa.BigInteger(), nullable=False),
        sa.Column("token", sa.String(42), nullable=False),
        sa.Column("standard", sa.String(8), nullable=False),
        sa.Column("token_id", sa.String(78)),
        sa.Column("min_balance", sa.String(78), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("grace_s", sa.Integer(), nullable=False),
        sa.Column("made_by", sa.String(200), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.Column("everyone", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("checked_at", time),
        sa.Column("tried_at", time),
        sa.Column("trouble", sa.String(300), nullable=False, server_default=""),
        sa.PrimaryKeyConstraint("id", name="pk_token_rule"),
        sa.ForeignKeyConstraint(["dao_id"], ["dao.id"], name="fk_token_rule_dao_id", ondelete="CASCADE"),
        sa.CheckConstraint("standard IN ('erc20', 'erc721', 'erc1155')", name="ck_token_rule_standard"),
        sa.CheckConstraint("grace_s >= 0", name="ck_token_rule_grace_s"),
    )
    op.create_index("ix_token_rule_dao_id", "token_rule", ["dao_id"])
    op.create_table(
        "token_holder",
        sa.Column("rule_id", sa.String(16), nullable=False),
        sa.Column("person_id", sa.String(36), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("balance", sa.String(78), nullable=False),
        sa.Column("since", time, nullable=False),
        sa.Column("lacking_since", time),
        sa.PrimaryKeyConstraint("rule_id", "person_id", name="pk_token_holder"),
        sa.ForeignKeyConstraint(["rule_id"], ["token_rule.id"], name="fk_token_holder_rule_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_token_holder_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_token_holder_person_id", "token_holder", ["person_id"])
    op.create_table(
        "lease",
        sa.Column("job", sa.String(64), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("until", time, nullable=False),
        sa.PrimaryKeyConstraint("job", name="pk_lease"),
    )


def downgrade() -> None:
    """Remove it again. Roles that tokens gave are then held as if by hand."""
    for table in ("lease", "token_holder", "token_rule", "vote", "elector", "proposal"):
        op.drop_table(table)
    op.drop_column("dao", "proposals_version")
