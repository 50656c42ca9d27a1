"""The tables of governance: proposals with their votes, and memberships that tokens give. See `tables`."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Integer,
    String,
    Table,
    Text,
    false,
)

from dagi.stores.columns import UtcTime, metadata

proposal = Table(
    "proposal",
    metadata,
    Column("dao_id", String(64), ForeignKey("dao.id", ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("title", String(200), nullable=False),
    Column("body", Text, nullable=False),
    Column("author", String(200), nullable=False),
    Column("choices", Text, nullable=False),  # JSON
    Column("quorum", String(24), nullable=False),  # people, or a share of the electorate, as it was written
    Column("approval", String(24), nullable=False, server_default=""),
    Column("abstentions_count", Boolean, nullable=False),
    Column("electorate", Integer, nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("opens_at", UtcTime, nullable=False),
    Column("closes_at", UtcTime, nullable=False),
    # Set where somebody ended it before its deadline.
    Column("ended_at", UtcTime),
    Column("ended_by", String(200), nullable=False, server_default=""),
    Column("cancelled", Boolean, nullable=False, server_default=false()),
    CheckConstraint("closes_at > opens_at", name="times"),
    CheckConstraint("electorate > 0", name="electorate"),
)

# Who may vote: the people who might when the proposal was made. No reference to a person: what was decided stays when somebody goes.
elector = Table(
    "elector",
    metadata,
    Column("dao_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("person_id", String(36), primary_key=True, index=True),
    ForeignKeyConstraint(["dao_id", "number"], ["proposal.dao_id", "proposal.number"], ondelete="CASCADE"),
)

vote = Table(
    "vote",
    metadata,
    Column("dao_id", String(64), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("person_id", String(36), primary_key=True, index=True),
    Column("user_id", String(200), nullable=False),  # the account that voted
    Column("choice", Integer, nullable=False),  # its place among the proposal's
    Column("weight", String(78), nullable=False),  # a uint256 in decimal digits
    Column("entered_by", String(200), nullable=False),
    Column("at", UtcTime, nullable=False),
    ForeignKeyConstraint(["dao_id", "number"], ["proposal.dao_id", "proposal.number"], ondelete="CASCADE"),
    CheckConstraint("choice >= 0", name="choice"),
)

# Tokens that make members: whoever has enough of one has the role.
token_rule = Table(
    "token_rule",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("dao_id", String(64), ForeignKey("dao.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("chain_id", BigInteger, nullable=False),
    Column("token", String(42), nullable=False),
    Column("standard", String(8), nullable=False),
    Column("token_id", String(78)),  # a uint256 in decimal digits, for ERC-1155 and one picture of ERC-721
    Column("min_balance", String(78), nullable=False),
    Column("role", String(64), nullable=False),
    Column("grace_s", Integer, nullable=False),
    Column("made_by", String(200), nullable=False),
    Column("created_at", UtcTime, nullable=False),
    Column("everyone", Boolean, nullable=False, server_default=false()),
    Column("checked_at", UtcTime),  # when the chain last answered
    Column("tried_at", UtcTime),  # when it was last asked
    Column("trouble", String(300), nullable=False, server_default=""),  # why it did not answer then
    CheckConstraint("standard IN ('erc20', 'erc721', 'erc1155')", name="standard"),
    CheckConstraint("grace_s >= 0", name="grace_s"),
)

# Who has the role by a rule: enough of the token, or since `lacking_since` no longer, in the grace.
token_holder = Table(
    "token_holder",
    metadata,
    Column("rule_id", String(16), ForeignKey("token_rule.id", ondelete="CASCADE"), primary_key=True),
    Column("person_id", String(36), ForeignKey("person.id", ondelete="CASCADE"), primary_key=True, index=True),
    Column("dao_id", String(64), nullable=False),
    Column("balance", String(78), nullable=False),
    Column("since", UtcTime, nullable=False),
    Column("lacking_since", UtcTime),
)

# What one process at a time does for all of them.
lease = Table(
    "lease",
    metadata,
    Column("job", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("until", UtcTime, nullable=False),
)

TABLES = (proposal, elector, vote, token_rule, token_holder, lease)
