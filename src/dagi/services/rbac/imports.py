"""`POST /daos/{dao_id}/members/import`: members from a file."""

import asyncio
from datetime import datetime
from typing import Annotated, Final

import msgspec

from dagi.access.import_plan import ACTIONS, Action, ImportOptions, Step
from dagi.access.importing import read_members
from dagi.errors import Invalid
from dagi.ports.member_import import MemberImportBy
from dagi.services.errors import encode
from dagi.services.face import Answer, Endpoint, Request, path_values
from dagi.services.rbac.door import Door
from dagi.services.rbac.endpoints import AS, Place
from dagi.services.rbac.members import MEMBERS
from dagi.services.reading import query, read

IMPORT: Final = MEMBERS + "/import"


class ImportBody(msgspec.Struct, forbid_unknown_fields=True):
    """A file of members: CSV as a text, or the same as objects."""

    csv: Annotated[str | None, msgspec.Meta(description="A line of column names first: account, role, name, expires, suspended.")] = None
    members: Annotated[
        list[dict[str, object]] | None, msgspec.Meta(description="Objects with these names, or as GET /daos/{dao_id}/members has them.")
    ] = None
    dry_run: Annotated[bool, msgspec.Meta(description="Tell what would be done, and do nothing.")] = False
    update: Annotated[bool, msgspec.Meta(description="Change members that came from an import before.")] = False
    overwrite: Annotated[bool, msgspec.Meta(description="With `update`: those made by hand or invited, too.")] = False
    remove_missing: Annotated[bool, msgspec.Meta(description="End imported memberships that are not in the file.")] = False


class StepBody(msgspec.Struct):
    """What happens to one person. `line` is null for whoever is not in the file; `why` says why something is kept."""

    action: Action
    line: int | None
    accounts: list[str]
    was: list[str]
    roles: list[str]
    suspended: bool
    expires_at: datetime | None
    why: str


class ImportReply(msgspec.Struct):
    """What was done, or would be; `counts` says how many were added, changed, removed, kept and unchanged."""

    request_id: str
    dao_id: str
    dry_run: bool
    counts: dict[str, int]
    steps: list[StepBody]


class ImportFace:
    """Takes members in from a file."""

    def __init__(self, door: Door, imports: MemberImportBy) -> None:
        self._door = door
        self._imports = imports

    def endpoints(self) -> tuple[Endpoint, ...]:
        """For the table."""
        return (
            Place("POST", IMPORT).endpoint(self.take_in, "Take members in from a file, all or none", takes=ImportBody, gives=ImportReply),
        )

    async def take_in(self, request: Request) -> Answer:
        """POST /daos/{dao_id}/members/import."""
        visitor = self._door.enter(request, query(request, (AS,)), path_values(IMPORT, request.path)["dao_id"])
        visitor.require("member.manage")
        wanted = read(ImportBody, request)
        # Thousands of lines take their time, and others are waiting.
        reading = await asyncio.to_thread(read_members, _file(wanted), visitor.dao_id)
        options = ImportOptions(update=wanted.update, overwrite=wanted.overwrite, remove_missing=wanted.remove_missing)
        steps = await self._imports(visitor.actor).run(visitor.dao_id, reading, options, dry_run=wanted.dry_run)
        counts = {action: sum(step.action == action for step in steps) for action in ACTIONS}
        told = [_step(step) for step in steps if step.action != "unchanged"]
        return Answer(body=encode(ImportReply(request.id, visitor.dao_id, wanted.dry_run, counts, told)))


def _file(wanted: ImportBody) -> bytes:
    if (wanted.csv is None) == (wanted.members is None):
        raise Invalid("Send either `csv` or `members`.", field="csv")
    return wanted.csv.encode() if wanted.csv is not None else msgspec.json.encode(wanted.members)


def _step(step: Step) -> StepBody:
    return msgspec.convert(step, StepBody, from_attributes=True)
