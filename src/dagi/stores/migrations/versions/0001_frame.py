"""The frame: DAOs, people, memberships, roles, keys, documents with their full-text index, exchanges."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_COUNT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create everything."""
    _access()
    _knowledge()
    _exchanges()


def _access() -> None:
    time = sa.DateTime(timezone=True)
    op.create_table(
        "dao",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("open", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("suspended", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("version", sa.BigInteger(), nullable=False, server_default="1"),
        sa.Column("facts_version", sa.BigInteger(), nullable=False, server_default="1"),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_dao"),
    )
    op.create_table(
        "person",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("name", sa.String(200), nullable=False, server_default=""),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
    )
    op.create_table(
        "identity",
        sa.Column("id", sa.String(200), nullable=False),
        sa.Column("person_id", sa.String(36), nullable=False),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identity"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_identity_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_identity_person_id", "identity", ["person_id"])
    op.create_table(
        "membership",
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("person_id", sa.String(36), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("expires_at", time),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("dao_id", "person_id", "role", name="pk_membership"),
        sa.ForeignKeyConstraint(["dao_id"], ["dao.id"], name="fk_membership_dao_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_membership_person_id", ondelete="CASCADE"),
    )
    op.create_index("ix_membership_person_id", "membership", ["person_id"])
    op.create_table(
        "role_entitlement",
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("entitlement", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("dao_id", "role", "entitlement", name="pk_role_entitlement"),
        sa.ForeignKeyConstraint(["dao_id"], ["dao.id"], name="fk_role_entitlement_dao_id", ondelete="CASCADE"),
    )
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("role", sa.String(64), nullable=False),
        sa.Column("digest", sa.LargeBinary(32), nullable=False),
        sa.Column("label", sa.String(200), nullable=False, server_default=""),
        sa.Column("act_as", sa.Boolean(), nullable=False, server_default=sa.false()),
        sa.Column("expires_at", time),
        sa.Column("revoked_at", time),
        sa.Column("created_at", time, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_api_key"),
        sa.ForeignKeyConstraint(["dao_id"], ["dao.id"], name="fk_api_key_dao_id", ondelete="CASCADE"),
    )
    op.create_index("ix_api_key_dao_id", "api_key", ["dao_id"])


def _knowledge() -> None:
    op.create_table(
        "document",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("bytes", sa.Integer(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_document"),
        sa.UniqueConstraint("dao_id", "name", name="uq_document_dao_id_name"),
        sa.ForeignKeyConstraint(["dao_id"], ["dao.id"], name="fk_document_dao_id", ondelete="CASCADE"),
    )
    op.create_table(
        "fact",
        sa.Column("id", _COUNT, sa.Identity(), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("document_id", sa.String(36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(400), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("vector", sa.LargeBinary()),
        sa.PrimaryKeyConstraint("id", name="pk_fact"),
        sa.ForeignKeyConstraint(["dao_id"], ["dao.id"], name="fk_fact_dao_id", ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["document_id"], ["document.id"], name="fk_fact_document_id", ondelete="CASCADE"),
    )
    op.create_index("ix_fact_dao_id", "fact", ["dao_id"])
    op.create_index("ix_fact_document_id", "fact", ["document_id"])
    if op.get_bind().dialect.name == "postgresql":
        _words()
    else:
        _full_text()


def _words() -> None:
    """The words of each passage, as `stores.words` reads them, so that no locale of the server decides what is found."""
    op.create_table(
        "fact_fts",
        sa.Column("fact_id", sa.BigInteger(), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("words", postgresql.TSVECTOR(), nullable=False),
        sa.PrimaryKeyConstraint("fact_id", name="pk_fact_fts"),
        sa.ForeignKeyConstraint(["fact_id"], ["fact.id"], name="fk_fact_fts_fact_id", ondelete="CASCADE"),
    )
    op.create_index("ix_fact_fts_dao_id", "fact_fts", ["dao_id"])


def _full_text() -> None:
    """An index that keeps no copy of the text; the triggers keep it in step within the same transaction."""
    op.execute(
        "CREATE VIRTUAL TABLE fact_fts USING fts5(title, text, content='fact', content_rowid='id', "
        "tokenize='unicode61 remove_diacritics 0', prefix='3 4 5')"
    )
    op.execute(
        "CREATE TRIGGER fact_fts_insert AFTER INSERT ON fact BEGIN "
        "INSERT INTO fact_fts(rowid, title, text) VALUES (new.id, new.title, new.text); END"
    )
    op.execute(
        "CREATE TRIGGER fact_fts_delete AFTER DELETE ON fact BEGIN "
        "INSERT INTO fact_fts(fact_fts, rowid, title, text) VALUES ('delete', old.id, old.title, old.text); END"
    )
    op.execute(
        "CREATE TRIGGER fact_fts_update AFTER UPDATE OF title, text ON fact BEGIN "
        "INSERT INTO fact_fts(fact_fts, rowid, title, text) VALUES ('delete', old.id, old.title, old.text); "
        "INSERT INTO fact_fts(rowid, title, text) VALUES (new.id, new.title, new.text); END"
    )


def _exchanges() -> None:
    op.create_table(
        "exchange",
        sa.Column("id", _COUNT, sa.Identity(), nullable=False),
        sa.Column("request_id", sa.String(64), nullable=False),
        sa.Column("dao_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(200), nullable=False),
        sa.Column("session_id", sa.String(200), nullable=False, server_default=""),
        sa.Column("source", sa.String(16), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("rule", sa.String(64), nullable=False, server_default=""),
        sa.Column("provider", sa.String(64), nullable=False, server_default=""),
        sa.Column("model", sa.String(200), nullable=False, server_default=""),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("prompt_tokens", _COUNT, nullable=False, server_default="0"),
        sa.Column("completion_tokens", _COUNT, nullable=False, server_default="0"),
        sa.Column("attempts", sa.Text(), nullable=False, server_default="[]"),
        sa.Column("duration_ms", sa.Float(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_exchange"),
        sa.CheckConstraint("duration_ms >= 0", name="ck_exchange_duration"),
    )
    op.create_index("ix_exchange_request_id", "exchange", ["request_id"])
    op.create_index("ix_exchange_session", "exchange", ["dao_id", "user_id", "session_id", "id"])
    op.create_index("ix_exchange_at", "exchange", ["at"])


def downgrade() -> None:
    """Remove everything."""
    for table in (
        "exchange",
        "fact_fts",
        "fact",
        "document",
        "api_key",
        "role_entitlement",
        "membership",
        "identity",
        "person",
        "dao",
    ):
        op.drop_table(table)
