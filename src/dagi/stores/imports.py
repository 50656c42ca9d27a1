"""Members taken in from a file, all of them or none: the plan is made and done in one transaction."""

import uuid
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from sqlalchemy import Executable, Row, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from dagi.access.actor import Actor
from dagi.access.decide import entitlements
from dagi.access.import_plan import IMPORT, TOKEN, HeldMember, ImportOptions, Known, Step, plan
from dagi.access.importing import ImportLine, Mistakes, Reading
from dagi.errors import Conflict, Invalid
from dagi.ports.clock import Clock
from dagi.stores.changes import STACK, Change, Changes, Record
from dagi.stores.database import Database
from dagi.stores.people import check_account
from dagi.stores.tables import identity, membership, person

T = TypeVar("T")
# SQLite takes some thirty thousand parameters in a statement.
_BATCH = 1_000


class MemberImport:
    """Implements the port MemberImport."""

    def __init__(self, database: Database, clock: Clock, by: Actor = STACK) -> None:
        self._by = by
        self._changes = Changes(database, clock)

    async def run(self, dao_id: str, reading: Reading, options: ImportOptions, *, dry_run: bool) -> tuple[Step, ...]:
        """See the port."""
        if options.links and not self._by.unbounded:
            raise Invalid("To link accounts by a file is the operator's, at the command line.", field="links")
        steps: tuple[Step, ...] = ()
        checked = _checked(reading)
        # A dry run does all of it, too, and takes it back: it fails where the import would.
        with suppress(_DryRunError):
            async with self._changes.of(dao_id, self._by, "member.manage") as change:
                async with change.keeping_an_admin():
                    rows = await _rows(change)
                    steps = plan(checked, await _known(change, checked.lines, rows), options)
                    await _check_rights(change, steps)
                    await _carry_out(change, steps, rows)
                if dry_run:
                    raise _DryRunError
        return steps


class _DryRunError(Exception):
    """Raised to take everything back."""


def _checked(reading: Reading) -> Reading:
    """With what is no person's account among the mistakes."""
    mistakes = Mistakes(reading.mistakes)
    for line in reading.lines:
        for account in line.accounts:
            try:
                check_account(account)
            except Invalid as error:
                mistakes.add(line.line, error)
    return Reading(reading.lines, tuple(mistakes.found))


async def _rows(change: Change) -> Mapping[str, list[Row[Any]]]:
    """The rows of membership of everybody in the DAO."""
    found: dict[str, list[Row[Any]]] = {}
    query = select(membership).where(membership.c.dao_id == change.dao_id).order_by(membership.c.person_id, membership.c.role)
    for row in await change.connection.execute(query):
        found.setdefault(row.person_id, []).append(row)
    return found


async def _known(change: Change, lines: Sequence[ImportLine], rows: Mapping[str, list[Row[Any]]]) -> Known:
    owners: dict[str, str] = {}
    for part in _parts([account for line in lines for account in line.accounts]):
        query = select(identity.c.id, identity.c.person_id).where(identity.c.id.in_(part))
        owners |= {row.id: row.person_id for row in await change.connection.execute(query)}
    accounts: dict[str, list[str]] = {}
    of_members = identity.c.person_id.in_(select(membership.c.person_id).where(membership.c.dao_id == change.dao_id))
    for row in await change.connection.execute(select(identity).where(of_members).order_by(identity.c.id)):
        accounts.setdefault(row.person_id, []).append(row.id)
    members = [_held(person_id, accounts.get(person_id, []), theirs) for person_id, theirs in rows.items()]
    return Known(members=members, owners=owners, roles=tuple(await change.roles()))


def _held(person_id: str, accounts: Sequence[str], rows: Sequence[Row[Any]]) -> HeldMember:
    # What a file says about the end of a membership, it says about the roles it gives.
    own = [row for row in rows if row.source == IMPORT] or rows
    return HeldMember(
        person_id=person_id,
        accounts=tuple(accounts),
        roles={row.role: row.source for row in rows},
        suspended=any(row.suspended for row in rows),
        expires_at=own[0].expires_at,
    )


async def _check_rights(change: Change, steps: Iterable[Step]) -> None:
    """Nobody gives or takes by a file what it does not hold."""
    roles = await change.roles()
    touched = {role for step in steps if step.action in {"added", "changed", "removed"} for role in (*step.was, *step.roles)}
    change.require_held(entitlements(tuple(touched), roles))


async def _carry_out(change: Change, steps: Sequence[Step], rows: Mapping[str, list[Row[Any]]]) -> None:
    done = [step for step in steps if step.action in _TOLD]
    people = {step.accounts[0]: str(uuid.uuid4()) for step in done if step.person_id is None}

    def whose(step: Step) -> str:
        return step.person_id or people[step.accounts[0]]

    new = [{"id": whose(step), "name": step.name, "created_at": change.now} for step in done if step.person_id is None]
    links = [{"id": account, "person_id": whose(step), "created_at": change.now} for step in done for account in step.links]
    taken = [{"person": whose(step), "taken": role} for step in done for role in _taken(step, rows.get(whose(step), []))]
    resting = [
        {"person": whose(step), "rests": step.suspended}
        for step in done
        if any(row.suspended is not step.suspended for row in rows.get(whose(step), []))
    ]
    given = [row for step in done if step.action != "removed" for row in _given(change, step, whose(step), rows.get(whose(step), []))]
    try:
        await _write(change, insert(person), new)
        await _write(change, insert(identity), links)
    except IntegrityError as error:
        raise Conflict("One of the accounts became known in this very moment. Import again.") from error
    own = (membership.c.dao_id == change.dao_id) & (membership.c.person_id == bindparam("person"))
    await _write(change, delete(membership).where(own, membership.c.role == bindparam("taken")), taken)
    # A suspension is of the person, with the roles that tokens give.
    await _write(change, update(membership).where(own).values(suspended=bindparam("rests")), resting)
    await _write(change, insert(membership), given)
    told = [
        Record(_TOLD[step.action], step.accounts[0], {"source": IMPORT, "roles_before": step.was, "roles": step.roles}) for step in done
    ]
    await change.record_all([*told, Record("members.imported", "", _counts(steps))])


_TOLD: Final[Mapping[str, str]] = {"added": "member.added", "changed": "member.updated", "removed": "member.removed"}


def _taken(step: Step, rows: Sequence[Row[Any]]) -> Sequence[str]:
    """Roles that go. What a token gives besides the file stays the token's."""
    if step.action == "removed":
        return [role for role in step.was if role not in step.roles]
    return [row.role for row in rows if row.source != TOKEN or row.role in step.roles]


def _given(change: Change, step: Step, person_id: str, rows: Sequence[Row[Any]]) -> Iterable[Mapping[str, object]]:
    row = {
        "dao_id": change.dao_id,
        "person_id": person_id,
        "source": IMPORT,
        "expires_at": step.expires_at,
        "suspended": step.suspended,
        "created_at": min((row.created_at for row in rows), default=change.now),
    }
    return [{**row, "role": role} for role in step.roles]


async def _write(change: Change, statement: Executable, rows: Sequence[Mapping[str, object]]) -> None:
    for part in _parts(rows):
        await change.connection.execute(statement, part)


def _counts(steps: Iterable[Step]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for step in steps:
        counts[step.action] = counts.get(step.action, 0) + 1
    return counts


def _parts(items: Sequence[T]) -> Iterable[Sequence[T]]:
    return (items[start : start + _BATCH] for start in range(0, len(items), _BATCH))
