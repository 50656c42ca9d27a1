"""`dagi role`: the roles of a DAO, and what each may do."""

from typing import Annotated

import typer

from dagi.cli.options import AsJson, Config, Profile, Yes, installation
from dagi.cli.output import as_json, say, table
from dagi.cli.work import operator, with_database
from dagi.observe.clock import SystemClock
from dagi.ports.administration import RoleInfo
from dagi.stores.database import Database
from dagi.stores.roles import RoleAdmin

app = typer.Typer(help="Roles of a DAO: list, define, remove.", no_args_is_help=True)
InDao = Annotated[str, typer.Option("--dao", help="The DAO's id.")]
Name = Annotated[str, typer.Argument(help="The role's name.")]


@app.command("list", epilog="Example: dagi role list --dao greenfood-dao")
def list_all(dao: InDao, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List the roles of a DAO, strongest first."""
    _print(with_database(installation(profile, config), lambda database: _roles(database).all(dao)), json=json)


@app.command(epilog="Example: dagi role define moderator --dao greenfood-dao --may chat.use --may member.read --may dialog.read")
def define(
    role: Name,
    dao: InDao,
    may: Annotated[list[str], typer.Option("--may", "-m", help="An entitlement; may be given more than once. All that the role grants.")],
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Define a role, or define it anew; running processes notice within a second."""
    _print([with_database(installation(profile, config), lambda database: _roles(database).put(dao, role, may))], json=json)


@app.command(epilog="Example: dagi role remove moderator --dao greenfood-dao --yes")
def remove(role: Name, dao: InDao, profile: Profile = None, config: Config = None, yes: Yes = False) -> None:
    """Remove a role that nobody has."""
    if not yes:
        typer.confirm(f"Remove the role {role} from {dao}?", abort=True)
    with_database(installation(profile, config), lambda database: _roles(database).remove(dao, role))
    say(f"{dao} has no role {role} any more.")


def _roles(database: Database) -> RoleAdmin:
    return RoleAdmin(database, SystemClock(), operator())


def _print(roles: list[RoleInfo] | tuple[RoleInfo, ...], *, json: bool) -> None:
    if json:
        as_json(roles)
        return
    rows = [(role.name, role.members, role.keys, role.entitlements) for role in roles]
    table(("role", "members", "keys", "may"), rows, empty="The DAO has no roles.")
