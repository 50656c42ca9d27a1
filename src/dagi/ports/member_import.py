"""Members from a file."""

from typing import Protocol

from dagi.access.actor import Actor
from dagi.access.import_plan import ImportOptions, Step
from dagi.access.importing import Reading


class MemberImport(Protocol):
    """Takes members in, for whoever acts; needs `member.manage`."""

    async def run(self, dao_id: str, reading: Reading, options: ImportOptions, *, dry_run: bool) -> tuple[Step, ...]:
        """Do all of it or nothing; what was done, or would be in a dry run, person by person.

        Raises:
            Invalid: lines are wrong; `mistakes` holds each.
            Denied: the actor may not, or would give or take what it does not hold.
            Missing: no such DAO.
            Conflict: the DAO would be left without an admin.
        """
        ...


class MemberImportBy(Protocol):
    """Imports, for whoever acts."""

    def __call__(self, by: Actor) -> MemberImport:
        """As that one."""
        ...
