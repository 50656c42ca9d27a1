"""`dagi audit`: what was changed and what was denied, and whether that record is whole."""

import re
import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from dagi.cli.durations import duration
from dagi.cli.options import AsJson, Config, Profile, account_option, installation
from dagi.cli.output import as_json, opened_output, say, write
from dagi.cli.work import with_database
from dagi.errors import Invalid
from dagi.observe.clock import SystemClock
from dagi.ports.audit import AuditQuery, AuditRecord, Outcome, Verification
from dagi.stores.audit import SqlAudit
from dagi.stores.database import Database

app = typer.Typer(help="What was changed and denied: list, verify, export.", no_args_is_help=True)
OfDao = Annotated[str | None, typer.Option("--dao", help="Only the chain of this DAO; all of them where left out.")]
MOST = 10_000


@app.callback()
def group() -> None:
    """What was changed and what was denied."""


@app.command("list", epilog="Example: dagi audit list --dao greenfood-dao --denied --since 24h")
def list_all(
    dao: OfDao = None,
    action: Annotated[str | None, typer.Option(help="Only this action, for example member.added; of a denial what was missing.")] = None,
    user: Annotated[str | None, typer.Option(callback=account_option, help="Only what this account did, or was the subject of.")] = None,
    denied: Annotated[bool | None, typer.Option("--denied/--done", help="Only denials, or only what was done.")] = None,
    since: Annotated[str | None, typer.Option(help="Only what is no older, for example 24h or 30d.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=MOST, help="How many, the newest.")] = 50,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """List records, newest first."""
    outcome: Outcome | None = None if denied is None else "denied" if denied else "done"
    wanted = AuditQuery(
        dao_id=dao,
        action=action,
        outcome=outcome,
        involving=user,
        since=None if since is None else SystemClock().now() - duration(since, "since"),
        limit=limit,
    )
    records = with_database(installation(profile, config), lambda database: SqlAudit(database).list(wanted))
    if json:
        as_json(records)
        return
    for record in records:
        write(f"{_line(record)}\n", sys.stdout)
    if not records:
        say("There is no such record.")


@app.command(epilog="Example: dagi audit verify --expect greenfood-dao=812:5f1c… (a head that an earlier run printed)")
def verify(
    dao: OfDao = None,
    expect: Annotated[
        list[str] | None, typer.Option(help="DAO=NUMBER:HASH, a head that was printed once; proves that nothing was cut off since.")
    ] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Compute every hash again. Exit status 0: the record is whole, 5: something was changed, moved or is missing."""
    heads = dict(_expected(one) for one in expect or ())

    async def run(database: Database) -> tuple[Verification, list[str]]:
        audit = SqlAudit(database)
        found = await audit.verify(dao)
        lost = [f"{chain}: record {head} is not in the chain" for chain, head in heads.items() if not await audit.holds(chain, head)]
        return found, lost

    found, lost = with_database(installation(profile, config), run)
    wrong = [f"{one.dao_id or 'the stack'}, record {one.seq}: {one.what}" for one in found.findings] + lost
    if json:
        as_json({"whole": not wrong, **msgspec.to_builtins(found), "unmet": lost})
    else:
        for one in wrong:
            say(one)
        if not wrong:
            say(f"Whole: {found.records} records in {found.chains} chains, {found.erased} of them without their erased content.")
        say("The heads, to be kept elsewhere, for --expect:" if found.heads else "There is no record yet.")
        for chain, head in found.heads.items():
            say(f"{chain}={head}")
    if wrong:
        raise typer.Exit(5)


@app.command(epilog="Example: dagi audit export --dao greenfood-dao --out audit.jsonl")
def export(
    dao: OfDao = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write, readable by you alone; standard output otherwise.")] = None,
    profile: Profile = None,
    config: Config = None,
) -> None:
    """Write every record, oldest first, one JSON object a line, with all that is needed to verify them elsewhere."""

    async def run(database: Database) -> int:
        count = 0
        async with aclosing(SqlAudit(database).export(dao)) as rows:
            with opened_output(out) as file:
                async for row in rows:
                    file.write(msgspec.json.encode(row) + b"\n")
                    count += 1
        return count

    count = with_database(installation(profile, config), run)
    typer.echo(f"{count} records.", err=True)


def _expected(text: str) -> tuple[str, str]:
    dao, equals, head = text.rpartition("=")
    if not equals or not re.fullmatch(r"\d{1,18}:[0-9a-f]{64}", head):
        raise Invalid("--expect takes DAO=NUMBER:HASH, as verify prints it.", field="expect")
    return dao, head


def _line(record: AuditRecord) -> str:
    """One record on one line, which a terminal may break where it likes: nothing of it is cut off."""
    told = [f"{name}={_shown(value)}" for name, value in (record.details or {}).items() if value is not None]
    what = f"DENIED {record.action}" if record.outcome == "denied" else record.action
    # The subject of a denial is the DAO it was asked of, which the chain says already.
    whom = record.subject if record.outcome == "done" or record.subject != record.dao_id else ""
    who = "(erased)" if record.actor is None else record.actor + (f" with key:{record.key_id}" if _came_with_key(record) else "")
    parts = (f"{record.dao_id or '-'}#{record.seq}", f"{record.at:%Y-%m-%d %H:%M:%S}", who, what, whom or "", " ".join(told))
    return "  ".join(part for part in parts if part)


def _came_with_key(record: AuditRecord) -> bool:
    return bool(record.key_id) and record.actor != f"key:{record.key_id}"


def _shown(value: object) -> str:
    if isinstance(value, list):
        return "+".join(str(one) for one in value)
    if isinstance(value, Mapping):
        return msgspec.json.encode(value).decode()
    return str(value)
