"""The tables of channels: what platforms delivered, and what is owed to them. See `tables`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
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
)

from dagi.stores.columns import UtcTime, metadata

# Ids that the database gives: 64 bits, which SQLite calls INTEGER.
_Count = BigInteger().with_variant(Integer, "sqlite")

# No `dao_id`: which DAO an update belongs to is found when it is handled, and the row's text goes in the same moment.
inbox = Table(
    "inbox",
    metadata,
    Column("id", _Count, Identity(), primary_key=True),
    Column("channel", String(16), nullable=False),
    Column("bot", String(64), nullable=False),
    Column("number", BigInteger, nullable=False),
    Column("chat", String(40), nullable=False),
    Column("body", LargeBinary, nullable=False),  # emptied when it is handled
    Column("received_at", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("progress", Text, nullable=False, server_default=""),
    Column("holder", String(32), nullable=False, server_default=""),
    Column("held_until", UtcTime),
    Column("handled_at", UtcTime),
    UniqueConstraint("channel", "bot", "number"),
)
Index(
    "ix_inbox_lane",
    inbox.c.channel,
    inbox.c.bot,
    inbox.c.chat,
    inbox.c.number,
    sqlite_where=inbox.c.handled_at.is_(None),
    postgresql_where=inbox.c.handled_at.is_(None),
)
Index("ix_inbox_handled_at", inbox.c.handled_at)

outbox = Table(
    "outbox",
    metadata,
    Column("id", _Count, Identity(), primary_key=True),
    Column("channel", String(16), nullable=False),
    Column("bot", String(64), nullable=False),
    Column("chat", String(40), nullable=False),
    Column("method", String(64), nullable=False),
    Column("body", LargeBinary, nullable=False),  # emptied when it is delivered or given up
    Column("plain", LargeBinary, nullable=False),
    Column("request_id", String(128), nullable=False, server_default=""),
    Column("optional", Boolean, nullable=False, server_default=false()),
    Column("since", UtcTime, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("due_at", UtcTime, nullable=False),
    Column("holder", String(32), nullable=False, server_default=""),
    Column("held_until", UtcTime),
    Column("settled_at", UtcTime),
    Column("message", String(40), nullable=False, server_default=""),  # the platform's id of what was delivered
    Column("why", String(200), nullable=False, server_default=""),  # it was given up
)
Index(
    "ix_outbox_lane",
    outbox.c.channel,
    outbox.c.bot,
    outbox.c.chat,
    outbox.c.id,
    sqlite_where=outbox.c.settled_at.is_(None),
    postgresql_where=outbox.c.settled_at.is_(None),
)
Index("ix_outbox_settled_at", outbox.c.settled_at)

# A group's new id, and the first one it was known by, which the configuration may still name.
chat_move = Table(
    "chat_move",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("bot", String(64), primary_key=True),
    Column("chat", String(40), primary_key=True),
    Column("first", String(40), nullable=False),
)

# Chats that belong to a DAO of their own; before what the configuration says of them.
chat_binding = Table(
    "chat_binding",
    metadata,
    Column("channel", String(16), primary_key=True),
    Column("bot", String(64), primary_key=True),
    Column("chat", String(40), primary_key=True),
    Column("dao_id", String(64), ForeignKey("dao.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("mention_only", Boolean),
    Column("created_at", UtcTime, nullable=False),
    Column("created_by", String(200), nullable=False),
)

TABLES = (inbox, outbox, chat_move, chat_binding)
