"""`dagi dialogs`: what was asked and answered, and one person's right to have it or to have it removed."""

import sys
from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, Final, cast

import msgspec
import typer

from dagi.assemble.traces import reading
from dagi.cli.options import AsJson, Config, Profile, Yes, account_option, installation
from dagi.cli.output import as_json, opened_output, say, table, write
from dagi.cli.work import operator, with_database
from dagi.observe.clock import SystemClock
from dagi.stores.database import Database
from dagi.stores.dialogs import Dialog, DialogArchive
from dagi.stores.erasure import Erased, Erasure

app = typer.Typer(help="Dialogs: list, show; export or erase those of one person.", no_args_is_help=True)
InDao = Annotated[str | None, typer.Option("--dao", help="Only in this DAO; all DAOs where left out.")]
OfUser = Annotated[
    str | None, typer.Option("--user", callback=account_option, help="Only of this person (all accounts), for example tg:12345.")
]
User = Annotated[
    str, typer.Option("--user", callback=account_option, help="An account of the person, for example tg:12345; the others are found by it.")
]


@app.command("list", epilog="Example: dagi dialogs list --dao greenfood-dao --limit 20")
def list_all(
    dao: InDao = None,
    user: OfUser = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many, the latest.")] = 50,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """List the latest dialogs."""
    found = with_database(
        installation(profile, config), lambda database: DialogArchive(database).list(dao_id=dao, user_id=user, limit=limit)
    )
    if json:
        as_json(found)
        return
    rows = [(one.dialog_id, one.latest, one.dao_id, one.user_id, one.source, one.exchanges, one.title) for one in found]
    table(("dialog", "latest", "dao", "user", "source", "exchanges", "began with"), rows, empty="There is no dialog.")


@app.command(epilog="Example: dagi dialogs show d1")
def show(
    dialog: Annotated[str, typer.Argument(help="The dialog's id, as `dagi dialogs list` shows it.")],
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Show one dialog, word for word."""
    found = with_database(installation(profile, config), lambda database: DialogArchive(database).show(dialog))
    if json:
        as_json(found)
        return
    say(f"{found.dialog_id}: {found.user_id} in {found.dao_id}, {found.timestamp:%Y-%m-%d %H:%M} UTC, {found.insights['source']}")
    if found.insights["summary"]:
        write(f"\nSummary of the beginning: {found.insights['summary']}\n", sys.stdout)
    for prompt, exchange in zip(found.prompts, cast("list[Mapping[str, object]]", found.insights["exchanges"]), strict=True):
        kept = exchange["cleared_at"] is None
        write(f"\n> {prompt if kept else '(the text is no longer kept)'}\n{exchange['answer']}\n", sys.stdout)
        say(f"— {exchange['outcome']}, {exchange['provider'] or 'nobody asked'}, request {exchange['request_id']}")
        for opinion in cast("list[Mapping[str, object]]", exchange["feedback"]):
            words = f": {opinion['comment']}" if opinion["comment"] else ""
            write(f"  {_OPINIONS[cast('int', opinion['value'])]} ({opinion['user_id']}){words}\n", sys.stdout)


@app.command(epilog="Example: dagi dialogs export --user tg:12345 --out dialogs.jsonl")
def export(
    user: User,
    dao: InDao = None,
    out: Annotated[Path | None, typer.Option("--out", help="The file to write, readable by you alone; standard output otherwise.")] = None,
    profile: Profile = None,
    config: Config = None,
) -> None:
    """Give out everything one person said and was answered, one JSON object a dialog and line.

    A line is `dialog_id`, `timestamp`, `user_id`, `dao_id`, `prompts`, `insights`; what became of each prompt is in `insights.exchanges`.
    """

    async def work(database: Database) -> int:
        count = 0
        async with aclosing(DialogArchive(database).export(user, dao)) as dialogs:
            with opened_output(out) as file:
                async for dialog in dialogs:
                    file.write(_line(dialog))
                    count += 1
        return count

    count = with_database(installation(profile, config), work)
    typer.echo(f"{count} dialogs of {user}{'' if out is None else f' in {out}'}.", err=True)


@app.command(epilog="Example: dagi dialogs erase --user tg:12345 --yes")
def erase(
    user: User,
    dao: InDao = None,
    yes: Yes = False,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Remove what one person said and was answered, for good; also while the stack runs.

    Of each exchange only what can be counted stays, without a name: when, DAO, mode, rule, provider, tokens, duration.
    """
    of, clock = installation(profile, config), SystemClock()
    known = reading(of.loaded.settings.channels)
    if not yes:
        there = with_database(of, lambda database: Erasure(database, clock, reading=known).count(user, dao))
        typer.confirm(f"Remove {_what(there)} of {', '.join(there.accounts)}{_where(dao)} for good?", abort=True)
    erased = with_database(of, lambda database: Erasure(database, clock, operator(), known).erase(user, dao))
    if json:
        as_json(erased)
        return
    say(f"Removed {_what(erased)} of {', '.join(erased.accounts)}{_where(dao)}.")
    typer.echo(
        "Not touched: memberships (`dagi member remove`), lines of logs, which name accounts and never hold text and go with their "
        "rotation, and backups you made.",
        err=True,
    )


_OPINIONS: Final = {1: "good", -1: "bad", 0: "words"}


def _what(erased: Erased) -> str:
    dialogs = (
        f"{erased.exchanges} exchanges, {erased.sessions} sessions, {erased.summaries} summaries, "
        f"{erased.opinions} opinions about answers, {erased.messages} messages on their way"
    )
    return f"{dialogs}, and the names in {erased.records} records of the audit and {erased.votes} votes"


def _where(dao: str | None) -> str:
    return " in all DAOs" if dao is None else f" in {dao}"


def _line(dialog: Dialog) -> bytes:
    return msgspec.json.encode(dialog) + b"\n"
