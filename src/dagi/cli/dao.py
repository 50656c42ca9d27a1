"""`dagi dao`: DAOs."""

from typing import Annotated

import typer

from dagi.access.limits import UNLIMITED
from dagi.cli import facts
from dagi.cli.amounts import MoneyPerMonth, Rpm, TokensPerDay, as_units, changes, shown
from dagi.cli.options import AsJson, Config, Profile, Yes, installation
from dagi.cli.output import as_json, say, table
from dagi.cli.work import operator, with_database
from dagi.observe.clock import SystemClock
from dagi.ports.administration import DaoInfo
from dagi.stores.dao_limits import DaoLimits
from dagi.stores.daos import Daos
from dagi.stores.database import Database

app = typer.Typer(help="DAOs: create, list, show, update, limits, remove; and their facts.", no_args_is_help=True)
app.add_typer(facts.app, name="facts")
Id = Annotated[str, typer.Argument(help="The DAO's id, for example greenfood-dao.")]


@app.command(epilog="Example: dagi dao create greenfood-dao --name 'GreenFood DAO' --open")
def create(
    dao: Id,
    name: Annotated[str, typer.Option(help="The name people see.")],
    is_open: Annotated[bool, typer.Option("--open", help="Strangers are guests.")] = False,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Found a DAO with the four default roles."""
    made = with_database(installation(profile, config), lambda database: _daos(database).create(dao, name, is_open=is_open))
    if json:
        as_json(made)
    else:
        say(f"{made.id} is founded. Next: dagi member create tg:YOUR_ID --dao {made.id} --role admin")


@app.command("list", epilog="Example: dagi dao list --json")
def list_all(profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List all DAOs."""
    daos = with_database(installation(profile, config), lambda database: _daos(database).all())
    if json:
        as_json(daos)
        return
    rows = [(dao.id, dao.name, dao.members, dao.documents, dao.open, dao.suspended) for dao in daos]
    table(("id", "name", "members", "documents", "open", "suspended"), rows, empty="There is no DAO yet. `dagi dao create` founds one.")


@app.command(epilog="Example: dagi dao show greenfood-dao")
def show(dao: Id, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Show one DAO."""
    found = with_database(installation(profile, config), lambda database: _daos(database).show(dao))
    _print(found, json=json)


@app.command(epilog="Example: dagi dao update greenfood-dao --suspend")
def update(
    dao: Id,
    name: Annotated[str | None, typer.Option(help="The name people see.")] = None,
    is_open: Annotated[bool | None, typer.Option("--open/--closed", help="Whether strangers are guests.")] = None,
    suspended: Annotated[bool | None, typer.Option("--suspend/--resume", help="Whether the DAO rests.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Change a DAO."""
    found = with_database(
        installation(profile, config),
        lambda database: _daos(database).update(dao, name=name, is_open=is_open, suspended=suspended),
    )
    _print(found, json=json)


@app.command(epilog="Example: dagi dao remove greenfood-dao --yes")
def remove(dao: Id, profile: Profile = None, config: Config = None, yes: Yes = False) -> None:
    """Remove a DAO with its memberships, keys and documents."""
    if not yes:
        typer.confirm(f"Remove {dao} with all its memberships, keys and documents?", abort=True)
    with_database(installation(profile, config), lambda database: _daos(database).remove(dao))
    say(f"{dao} is removed.")


@app.command(epilog="Example: dagi dao limits greenfood-dao --rpm 600 --money-per-month 25")
def limits(
    dao: Id,
    rpm: Rpm = None,
    tokens_per_day: TokensPerDay = None,
    money_per_month: MoneyPerMonth = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Show or change what a DAO may use as a whole; running processes notice within a second."""
    wanted, clock = changes(rpm, tokens_per_day, money_per_month), SystemClock()
    found = with_database(installation(profile, config), lambda database: DaoLimits(database, clock, operator()).change(dao, wanted))
    if json:
        own = {"rpm": found.rpm, "tokens_per_day": found.tokens_per_day}
        told = {name: "none" if value == UNLIMITED else value for name, value in own.items()}
        as_json({"dao_id": dao, **told, "money_per_month": as_units(found.money_per_month)})
        return
    row = (dao, shown(found.rpm), shown(found.tokens_per_day), shown(found.money_per_month, money=True))
    table(("dao", "requests a minute", "tokens a day", "money a month"), [row], empty="")


def _print(dao: DaoInfo, *, json: bool) -> None:
    if json:
        as_json(dao)
        return
    table(
        ("id", "name", "members", "documents", "open", "suspended", "since"),
        [(dao.id, dao.name, dao.members, dao.documents, dao.open, dao.suspended, dao.created_at)],
        empty="",
    )


def _daos(database: Database) -> Daos:
    return Daos(database, SystemClock(), operator())
