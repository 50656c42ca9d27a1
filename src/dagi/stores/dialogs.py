"""Dialogs as operators see them: a session's exchanges together, or a single question outside of any session."""

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, RowMapping, Select, and_, case, cast, func, select
from sqlalchemy.types import String

from dagi.access.names import check_identity
from dagi.errors import Missing
from dagi.stores.database import Database
from dagi.stores.erasure import accounts_of
from dagi.stores.exchanges import STACK
from dagi.stores.feedback import opinions_elsewhere, read_feedback
from dagi.stores.sessions import one_line
from dagi.stores.tables import exchange, session_summary

_ID = "d"
_OPINIONS = "feedback/"
_MOST_DIGITS = 18
_PAGE = 500


# Neither what the stack asked for itself, nor texts that were embedded, which are counted and not kept.
_SAID = and_(exchange.c.source != STACK, exchange.c.mode != "embedding")


class DialogInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One dialog in a list. `title` is how it began, empty where the text is no longer kept."""

    dialog_id: str
    dao_id: str
    user_id: str
    session_id: str
    source: str
    exchanges: int
    began: datetime
    latest: datetime
    title: str


class Dialog(msgspec.Struct, frozen=True, kw_only=True):
    """One dialog in the form it is exported in.

    Attributes:
        timestamp: when it began.
        insights: `session_id`, `source`, `summary`, and of each prompt what became of it (`exchanges`, in the prompts' order), with
            what people thought of the answer (`feedback`).
    """

    dialog_id: str
    timestamp: datetime
    user_id: str
    dao_id: str
    prompts: tuple[str, ...]
    insights: dict[str, object]


class DialogArchive:
    """Reads dialogs of everybody; for operators."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, *, dao_id: str | None = None, user_id: str | None = None, limit: int = 50) -> tuple[DialogInfo, ...]:
        """The latest dialogs first; of one DAO, of one person (all accounts), or of all.

        Raises:
            Invalid: it is no account.
        """
        grouped = (await self._groups(dao_id, user_id)).limit(limit).subquery()
        query = select(grouped, exchange.c.prompt).join(exchange, exchange.c.id == grouped.c.first_id).order_by(grouped.c.last_id.desc())
        async with self._database.read(dao_id) as connection:
            rows = (await connection.execute(query)).mappings().all()
        return tuple(
            DialogInfo(
                dialog_id=f"{_ID}{row['first_id']}",
                title=one_line(row["prompt"]),
                **{name: row[name] for name in ("dao_id", "user_id", "session_id", "source", "exchanges", "began", "latest")},
            )
            for row in rows
        )

    async def show(self, dialog_id: str) -> Dialog:
        """One dialog.

        Raises:
            Missing: there is none of that id.
        """
        number = dialog_id.removeprefix(_ID)
        found = None
        if number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS:
            columns = (exchange.c.id, exchange.c.dao_id, exchange.c.user_id, exchange.c.session_id)
            async with self._database.read() as connection:
                query = select(*columns).where(exchange.c.id == int(number), exchange.c.user_id != "", _SAID)
                found = (await connection.execute(query)).mappings().one_or_none()
        if found is None:
            raise Missing(f"There is no dialog {dialog_id[:40]!r}. `dagi dialogs list` shows those there are.", dialog_id=dialog_id[:40])
        return await self._dialog(found)

    async def export(self, user_id: str, dao_id: str | None = None) -> AsyncGenerator[Dialog]:
        """Every dialog of one person, the oldest first; then, for each DAO and account, what they thought of answers to others.

        What others thought of the answers is theirs, and is not in it.

        Raises:
            Invalid: it is no account.
        """
        grouped = await self._groups(dao_id, user_id)
        async with self._database.read() as connection:
            accounts = frozenset(await accounts_of(connection, user_id))
        after = 0
        while True:
            page = grouped.having(func.min(exchange.c.id) > after).order_by(None).order_by(func.min(exchange.c.id)).limit(_PAGE)
            async with self._database.read(dao_id) as connection:
                rows = (await connection.execute(page)).mappings().all()
            for row in rows:
                yield await self._dialog({**row, "id": row["first_id"]}, accounts)
            if len(rows) < _PAGE:
                break
            after = rows[-1]["first_id"]
        async with self._database.read(dao_id) as connection:
            elsewhere = await opinions_elsewhere(connection, accounts, dao_id)
        for (dao, account), opinions in elsewhere.items():
            yield Dialog(
                dialog_id=f"{_OPINIONS}{dao}/{account}",
                timestamp=opinions[0]["at"],
                user_id=account,
                dao_id=dao,
                prompts=(),
                insights={"feedback": opinions},
            )

    async def _groups(self, dao_id: str | None, user_id: str | None) -> Select[Any, Any, Any, Any, int, Any, Any, Any, Any]:
        """One row a dialog: the latest first."""
        wanted: list[ColumnElement[bool]] = [exchange.c.user_id != "", _SAID]
        if dao_id is not None:
            wanted.append(exchange.c.dao_id == dao_id)
        if user_id is not None:
            check_identity(user_id)
            async with self._database.read() as connection:
                wanted.append(exchange.c.user_id.in_(await accounts_of(connection, user_id)))
        alone = case((exchange.c.session_id == "", cast(exchange.c.id, String)), else_="")
        return (
            select(
                exchange.c.dao_id,
                exchange.c.user_id,
                exchange.c.session_id,
                func.min(exchange.c.source).label("source"),
                func.count().label("exchanges"),
                func.min(exchange.c.id).label("first_id"),
                func.max(exchange.c.id).label("last_id"),
                func.min(exchange.c.at).label("began"),
                func.max(exchange.c.at).label("latest"),
            )
            .where(*wanted)
            .group_by(exchange.c.dao_id, exchange.c.user_id, exchange.c.session_id, alone)
            .order_by(func.max(exchange.c.id).desc())
        )

    async def _dialog(self, key: RowMapping | dict[str, Any], of: Collection[str] | None = None) -> Dialog:
        """One dialog; with what people thought of it, or those alone of these accounts."""
        query = select(exchange).where(exchange.c.dao_id == key["dao_id"], exchange.c.user_id == key["user_id"])
        query = query.where(
            exchange.c.session_id == key["session_id"] if key["session_id"] else exchange.c.id == key["id"],
            _SAID,
        )
        of_session = and_(*(session_summary.c[name] == key[name] for name in ("dao_id", "user_id", "session_id")))
        async with self._database.read(key["dao_id"]) as connection:
            rows = (await connection.execute(query.order_by(exchange.c.id))).mappings().all()
            summary = await connection.scalar(select(session_summary.c.text).where(of_session))
            opinions = await read_feedback(connection, key["dao_id"], query.with_only_columns(exchange.c.request_id))
        if not rows:
            raise Missing("The dialog was removed just now.", dialog_id=f"{_ID}{key['id']}")
        if of is not None:
            opinions = {request: [one for one in said if one["user_id"] in of] for request, said in opinions.items()}
        return _told(rows, summary or "", opinions)


_INSIGHTS = (
    "request_id",
    "at",
    "mode",
    "outcome",
    "rule",
    "provider",
    "model",
    "answer",
    "prompt_tokens",
    "completion_tokens",
    "duration_ms",
    "cleared_at",
)


def _told(rows: Sequence[RowMapping], summary: str, opinions: Mapping[str, list[dict[str, Any]]]) -> Dialog:
    first = rows[0]
    exchanges = [{**{name: row[name] for name in _INSIGHTS}, "feedback": opinions.get(row["request_id"], [])} for row in rows]
    return Dialog(
        dialog_id=f"{_ID}{first['id']}",
        timestamp=first["at"],
        user_id=first["user_id"],
        dao_id=first["dao_id"],
        prompts=tuple(row["prompt"] for row in rows),
        insights={"session_id": first["session_id"], "source": first["source"], "summary": summary, "exchanges": exchanges},
    )
