"""Every table, in SQLAlchemy Core. Migrations are written by hand from these; a test compares the two, on SQLite and on PostgreSQL.

Times are aware UTC, kept as ISO text in SQLite by `UtcTime`. Ids are text chosen by us or by people; names of DAOs are their ids.
A table with rows of one DAO names it in `dao_id`: on PostgreSQL its rows are then out of the sight of whoever works within another one.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from dagi.stores import channel_tables, governance_tables, link_tables
from dagi.stores.columns import UtcTime, metadata

# They stand in files of their own and are part of the same schema.
ELSEWHERE = (*link_tables.TABLES, *governance_tables.TABLES, *channel_tables.TABLES)

# As many as anybody counts, and ids that the database gives: 64 bits, which SQLite calls INTEGER.
Count = BigInteger().with_variant(Integer, "sqlite")

dao = Table(
    "dao",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("name", String(200), nullable=False),
    Column("open", Boolean, nullable=False, server_default=false()),
    Column("suspended", Boolean, nullable=False, server_default=false()),
    # Counts changes of the DAO, its roles, members and keys: what the in-process map polls.
    Column("version", BigInteger, nullable=False, server_default="1"),
    # Counts changes of its documents: what the search index polls.
    Column("facts_version", BigInteger, nullable=False, server_default="1"),
    # Counts changes of its proposals and votes: what the list of open ones polls.
    Column("proposals_version", BigInteger, nullable=False, server_default="1"),
    # Counts changes of the chats that are bound to it: what gateways poll.
    Column("channels_version", BigInteger, nullable=False, server_default="1"),
    Column("created_at", UtcTime, nullable=False),
    # Limits of its own: NULL says nothing, -1 that there is none whatever the default says. The same for keys.
    Column("rpm", BigInteger),
    Column("tokens_per_day", BigInteger),
    Column("money_per_month", BigInteger),  # millionths of a currency unit
)

person = Table(
    "person",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("name", String(200), nullable=False, server_default=""),
    Column("created_at", UtcTime, nullable=False),
)

identity = Table(
    "identity",
    metadata,
    Column("id", String(200), primary_key=True),  # tg:12345, dc:987: one account belongs to one person
    Column("person_id", String(36), ForeignKey("person.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("created_at", UtcTime, nullable=False),
    # Before that time nothing administrative is granted through it: it was linked a moment ago. NULL: it always was the person's.
    Column("trusted_from", UtcTime),
    # How it was linked: code, siwe, telegram_login, telegram_mini_app, discord, operator; empty for the one the person became known with.
    Column("proved_by", String(32), nullable=False, server_default=""),
)

membership = Table(
    "membership",
    metadata,
    Column("dao_id", String(64), ForeignKey("dao.id", ondelete="CASCADE"), primary_key=True),
    Column("person_id", String(36), ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("role", String(64), primary_key=True),
    Column("suspended", Boolean, nullable=False, server_default=false()),
    Column("expires_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    # Who gives the role, and so who may take it away again: manual, invitation, import, token.
    Column("source", String(16), nullable=False, server_default="manual"),
)

role_entitlement = Table(
    "role_entitlement",
    metadata,
    Column("dao_id", String(64), ForeignKey("dao.id", ondelete="CASCADE"), primary_key=True),
    Column("role", String(64), primary_key=True),
    Column("entitlement", String(200), primary_key=True),
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("dao_id", String(64), ForeignKey("dao.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("role", String(64), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # SHA-256 of the secret part, which has 256 random bits
    Column("label", String(200), nullable=False, server_default=""),
    Column("act_as", Boolean, nullable=False, server_default=false()),
    Column("expires_at", UtcTime),
    Column("revoked_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    Column("rpm", BigInteger),
    Column("tokens_per_day", BigInteger),
    Column("money_per_month", BigInteger),
    # The secret before the last rotation, and until when it still counts.
    Column("previous_digest", LargeBinary(32)),
    Column("previous_until", UtcTime),
)

invitation = Table(
    "invitation",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("dao_id", String(64), ForeignKey("dao.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("role", String(64), nullable=False),
    Column("digest", LargeBinary(32), nullable=False),  # SHA-256 of the secret part, which has 128 random bits
    Column("label", String(200), nullable=False, server_default=""),
    Column("uses_left", Integer, nullable=False),
    Column("made_by", String(200), nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("member_until", UtcTime),  # when the memberships end that it makes
    Column("revoked_at", UtcTime),
    Column("created_at", UtcTime, nullable=False),
    CheckConstraint("uses_left >= 0", name="uses_left"),
)

# What was changed and what was denied, one chain a DAO; the empty id is the chain of what belongs to none. No reference to the DAO: what
# was done in it stays on record after it. Rows are only ever added; the triggers of the migration see to it, and let nothing be changed
# but the removal of `content`, which a digest stands for in the chain.
audit = Table(
    "audit",
    metadata,
    Column("dao_id", String(64), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("at", UtcTime, nullable=False),
    Column("action", String(200), nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("decision_id", String(64), nullable=False, server_default=""),
    Column("content", Text),  # JSON: who did it, to whom or what, the details, a salt; NULL once it was erased
    Column("content_digest", LargeBinary(32), nullable=False),
    Column("previous", LargeBinary(32), nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    CheckConstraint("outcome IN ('done', 'denied')", name="outcome"),
    Index("ix_audit_at", "at"),
)

# The newest record of every chain, so that one cut off at its end is noticed.
audit_head = Table(
    "audit_head",
    metadata,
    Column("dao_id", String(64), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
)

document = Table(
    "document",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("dao_id", String(64), ForeignKey("dao.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("updated_at", UtcTime, nullable=False),
    UniqueConstraint("dao_id", "name"),
)

fact = Table(
    "fact",
    metadata,
    Column("id", Count, Identity(), primary_key=True),
    Column("dao_id", String(64), ForeignKey("dao.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("document_id", String(36), ForeignKey("document.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("position", Integer, nullable=False),
    Column("title", String(400), nullable=False),
    Column("text", Text, nullable=False),
    # float32 x 384, little endian, from the embedder; empty until it has come round to it.
    Column("vector", LargeBinary),
)

exchange = Table(
    "exchange",
    metadata,
    Column("id", Count, Identity(), primary_key=True),
    Column("request_id", String(64), nullable=False, index=True),
    Column("dao_id", String(64), nullable=False),
    Column("user_id", String(200), nullable=False),
    Column("session_id", String(200), nullable=False, server_default=""),
    Column("source", String(16), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("rule", String(64), nullable=False, server_default=""),
    Column("provider", String(64), nullable=False, server_default=""),
    Column("model", String(200), nullable=False, server_default=""),
    Column("outcome", String(32), nullable=False),
    Column("prompt", Text, nullable=False),
    Column("answer", Text, nullable=False),
    Column("prompt_tokens", Count, nullable=False, server_default="0"),
    Column("completion_tokens", Count, nullable=False, server_default="0"),
    Column("attempts", Text, nullable=False, server_default="[]"),  # JSON
    Column("duration_ms", Float, nullable=False),
    Column("at", UtcTime, nullable=False),
    Column("key_id", String(32), nullable=False, server_default=""),
    # What it used, and the day it counts on; an empty day: it was not admitted.
    Column("charged_on", String(10), nullable=False, server_default=""),
    Column("charged_tokens", BigInteger, nullable=False, server_default="0"),
    Column("charged_micros", BigInteger, nullable=False, server_default="0"),
    Column("cleared_at", UtcTime),  # when its text was removed, by retention or by erasure
    CheckConstraint("duration_ms >= 0", name="duration"),
    Index("ix_exchange_session", "dao_id", "user_id", "session_id", "id"),
    Index("ix_exchange_at", "at"),
    # What retention still has to look at; what it is done with costs it nothing more.
    Index("ix_exchange_kept", "at", sqlite_where=text("cleared_at IS NULL"), postgresql_where=text("cleared_at IS NULL")),
)

# What people thought of answers. It names an exchange as everybody does, by its request, for that one may not be written down yet by the
# process that answered.
feedback = Table(
    "feedback",
    metadata,
    Column("dao_id", String(64), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("user_id", String(200), primary_key=True, index=True),
    Column("value", Integer, nullable=False, server_default="0"),  # 1 good, -1 bad, 0 words alone
    Column("comment", Text, nullable=False, server_default=""),
    Column("at", UtcTime, nullable=False),
    CheckConstraint("value BETWEEN -1 AND 1", name="value"),
)

# What a session's older exchanges said, in a model's words: what history has no room for.
session_summary = Table(
    "session_summary",
    metadata,
    Column("dao_id", String(64), primary_key=True),
    Column("user_id", String(200), primary_key=True),
    Column("session_id", String(200), primary_key=True),
    Column("text", Text, nullable=False),
    Column("through_id", Count, nullable=False),  # the latest exchange it covers
    Column("since", UtcTime, nullable=False),  # when the oldest one was, for its text ends with that one's retention
)

# Who was erased, for as long as a request that began before may still be written down.
erasure = Table(
    "erasure",
    metadata,
    Column("id", Count, Identity(), primary_key=True),
    Column("user_id", String(200), nullable=False),
    Column("dao_id", String(64), nullable=False, server_default=""),  # empty for all DAOs
    Column("at", UtcTime, nullable=False),
)

# What was used, by day in UTC and by whom: `of` is key, user or dao, `holder` its id. No reference to the DAO: one that is removed and
# founded again does not get its budget back.
spend = Table(
    "spend",
    metadata,
    Column("dao_id", String(64), primary_key=True),
    Column("of", String(8), primary_key=True),
    Column("holder", String(200), primary_key=True),
    Column("day", String(10), primary_key=True, index=True),
    Column("requests", BigInteger, nullable=False),
    Column("tokens", BigInteger, nullable=False),
    Column("micros", BigInteger, nullable=False),
    Column("last_at", UtcTime, nullable=False),
)
