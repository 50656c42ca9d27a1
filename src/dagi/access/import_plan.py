"""What an import of members would do, decided before anything is done: the dry run and the import follow the same plan. Pure."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec

from dagi.access.importing import ImportLine, Mistakes, Reading
from dagi.errors import Invalid

Action = Literal["added", "changed", "removed", "kept", "unchanged"]
ACTIONS: Final[tuple[Action, ...]] = ("added", "changed", "removed", "kept", "unchanged")
IMPORT: Final = "import"
TOKEN: Final = "token"  # noqa: S105 - a source of memberships


class ImportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What an import may do beside taking in whoever is new.

    Attributes:
        update: change members that came from an import.
        overwrite: and those that were made by hand or by an invitation.
        remove_missing: end memberships that came from an import and are not in the file.
        links: make several accounts one person's, on the importer's word. Nobody but the operator may: an account that is linked opens
            every DAO its person belongs to.
    """

    update: bool = False
    overwrite: bool = False
    remove_missing: bool = False
    links: bool = False


class HeldMember(msgspec.Struct, frozen=True, kw_only=True):
    """A member as the store has it: `roles` maps each role to where it came from."""

    person_id: str
    accounts: tuple[str, ...]
    roles: Mapping[str, str]
    suspended: bool
    expires_at: datetime | None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one person.

    Attributes:
        line: of the file; None for whoever is not in it.
        person_id: None for somebody new.
        was, roles: before and after; `roles` is what the import is answerable for.
        links: accounts that become this person's.
        why: half a sentence where something is kept or only half done.
    """

    action: Action
    line: int | None
    person_id: str | None
    accounts: tuple[str, ...]
    was: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    name: str = ""
    suspended: bool = False
    expires_at: datetime | None = None
    links: tuple[str, ...] = ()
    why: str = ""


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """What the store knows when the plan is made.

    Attributes:
        members: of the DAO.
        owners: whose each account of the file is, as far as it is anybody's, in whatever DAO.
        roles: those the DAO defines.
    """

    members: Sequence[HeldMember]
    owners: Mapping[str, str]
    roles: Collection[str]


def plan(reading: Reading, known: Known, options: ImportOptions) -> tuple[Step, ...]:
    """What to do for every line, and for members that are in none.

    Raises:
        Invalid: lines are wrong; `mistakes` holds each.
    """
    mistakes = Mistakes(reading.mistakes)
    members = {member.person_id: member for member in known.members}
    people: dict[str, int] = {}
    steps: list[Step] = []
    for line in reading.lines:
        try:
            person_id = _person(line, known, members, options)
            _check_roles(line, known.roles)
            if person_id is not None:
                _check_first(line, people.setdefault(person_id, line.line))
        except Invalid as error:
            mistakes.add(line.line, error)
        else:
            steps.append(_step(line, person_id, members.get(person_id or ""), known, options))
    mistakes.check()
    steps += [_missing(member, options) for member in known.members if member.person_id not in people and IMPORT in member.roles.values()]
    return tuple(steps)


def _person(line: ImportLine, known: Known, members: Mapping[str, HeldMember], options: ImportOptions) -> str | None:
    owners = {known.owners.get(account) for account in line.accounts}
    people = owners - {None}
    if len(people) > 1:
        raise Invalid("These accounts belong to different people. Give each a line of its own.", field="accounts")
    person_id = next(iter(people), None)
    alone = len(line.accounts) == 1 or (len(owners) == 1 and person_id in members)
    if not alone and not options.links:
        sentence = "Accounts are made one person's by whoever has them (`dagi identity`), not by a file. Name one account a person."
        raise Invalid(sentence, field="accounts")
    return person_id


def _check_roles(line: ImportLine, roles: Collection[str]) -> None:
    for role in line.roles:
        if role not in roles:
            raise Invalid(f"The DAO has no role {role!r}. It has {', '.join(sorted(roles))}.", field="roles")


def _check_first(line: ImportLine, first: int) -> None:
    if first != line.line:
        raise Invalid(f"This is the same person as in line {first}.", field="accounts")


def _step(line: ImportLine, person_id: str | None, member: HeldMember | None, known: Known, options: ImportOptions) -> Step:
    was = tuple(sorted(member.roles)) if member is not None else ()
    step = Step(
        action="added",
        line=line.line,
        person_id=person_id,
        accounts=line.accounts,
        was=was,
        roles=tuple(sorted(line.roles)),
        name=line.name,
        suspended=line.suspended or False,
        expires_at=None if line.expires_at is msgspec.UNSET else line.expires_at,
        links=tuple(account for account in line.accounts if account not in known.owners),
    )
    if member is None:
        return step
    if set(member.roles.values()) <= {TOKEN}:
        # Whoever is suspended stays so unless the file says otherwise.
        return msgspec.structs.replace(step, suspended=member.suspended if line.suspended is None else line.suspended)
    return _again(msgspec.structs.replace(step, action="changed"), line, member, options)


def _again(step: Step, line: ImportLine, member: HeldMember, options: ImportOptions) -> Step:
    """For somebody who is a member otherwise than by a token."""
    step = msgspec.structs.replace(
        step,
        suspended=member.suspended if line.suspended is None else line.suspended,
        expires_at=member.expires_at if line.expires_at is msgspec.UNSET else line.expires_at,
    )
    given = {role for role, source in member.roles.items() if source != TOKEN}
    if given == set(step.roles) and (step.suspended, step.expires_at) == (member.suspended, member.expires_at) and not step.links:
        return _left(step, "unchanged")
    if set(member.roles.values()) - {IMPORT, TOKEN} and not (options.update and options.overwrite):
        return _left(step, "kept", "made by hand; --update --overwrite changes it")
    if not options.update:
        return _left(step, "kept", "differs from the file; --update changes it")
    return step


def _left(step: Step, action: Action, why: str = "") -> Step:
    return msgspec.structs.replace(step, action=action, roles=step.was, links=(), why=why)


def _missing(member: HeldMember, options: ImportOptions) -> Step:
    imported = tuple(sorted(role for role, source in member.roles.items() if source == IMPORT))
    step = Step(
        action="removed",
        line=None,
        person_id=member.person_id,
        accounts=member.accounts,
        was=tuple(sorted(member.roles)),
        roles=tuple(sorted(set(member.roles) - set(imported))),
        suspended=member.suspended,
        expires_at=member.expires_at,
    )
    return step if options.remove_missing else _left(step, "kept", "not in the file; --remove-missing ends it")
