"""`dagi member import`: members from a file."""

from pathlib import Path
from typing import Annotated

import typer

from dagi.access.import_plan import ACTIONS, ImportOptions, Step
from dagi.access.importing import MAX_BYTES, read_members
from dagi.cli.options import AsJson, Config, Profile, installation
from dagi.cli.output import as_json, say, standard_input, table
from dagi.cli.work import operator, with_database
from dagi.errors import Missing
from dagi.observe.clock import SystemClock
from dagi.stores.imports import MemberImport

_SHOWN = 200


def import_file(
    file: Annotated[Path, typer.Argument(help="CSV or JSON, or - for standard input. What `dagi member list --json` prints will do.")],
    dao: Annotated[str, typer.Option("--dao", help="The DAO's id.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    update: Annotated[bool, typer.Option("--update", help="Change members that came from an import before.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="With --update: those made by hand or invited, too.")] = False,
    remove_missing: Annotated[bool, typer.Option("--remove-missing", help="End imported memberships that are not in the file.")] = False,
    link: Annotated[bool, typer.Option("--link", help="Make several accounts of one line one person's, on your word.")] = False,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Take members in from a file: all of it, or nothing where a line is wrong."""
    reading = read_members(_read(file), dao)
    options = ImportOptions(update=update, overwrite=overwrite, remove_missing=remove_missing, links=link)
    steps = with_database(
        installation(profile, config),
        lambda database: MemberImport(database, SystemClock(), operator()).run(dao, reading, options, dry_run=dry_run),
    )
    if json:
        as_json(steps)
        return
    _print(steps, dry_run=dry_run)


def _print(steps: tuple[Step, ...], *, dry_run: bool) -> None:
    told = [step for step in steps if step.action != "unchanged"]
    rows = [(step.accounts, step.line, step.action, step.was, step.roles, step.why) for step in told[:_SHOWN]]
    table(("accounts", "line", "what", "before", "after", "remark"), rows, empty="Everybody in the file is a member already, just so.")
    if len(told) > _SHOWN:
        say(f"… and {len(told) - _SHOWN} more; --json shows all.")
    counts = {action: sum(step.action == action for step in steps) for action in ACTIONS}
    summary = ", ".join(f"{count} {action}" for action, count in counts.items() if count)
    say(f"Dry run, nothing was written: {summary}." if dry_run else f"Done: {summary}.")


def _read(file: Path) -> bytes:
    if str(file) == "-":
        return standard_input(MAX_BYTES)
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise Missing(f"The file {file.name} cannot be read: {error.strerror}.", file=file.name) from error
