"""`dagi member`: who belongs to a DAO, with which roles."""

from datetime import datetime
from typing import Annotated

import msgspec
import typer

from dagi.access.wallets import account
from dagi.cli import sources
from dagi.cli.durations import duration
from dagi.cli.invitations import invitations, invite, withdraw
from dagi.cli.member_import import import_file
from dagi.cli.options import AsJson, Config, Profile, Yes, installation
from dagi.cli.output import as_json, say, table
from dagi.cli.work import operator, with_database
from dagi.observe.clock import SystemClock
from dagi.ports.administration import MemberInfo
from dagi.stores.members import MemberAdmin

app = typer.Typer(help="Members of a DAO: create, import, list, show, update, remove; and invitations.", no_args_is_help=True)
app.command(epilog="Example: dagi member invite --dao greenfood-dao --role member --uses 20 --expires 7d")(invite)
app.command(epilog="Example: dagi member invitations --dao greenfood-dao")(invitations)
app.command(epilog="Example: dagi member withdraw 1f2e3d4c5b6a --dao greenfood-dao")(withdraw)
app.add_typer(sources.app, name="source")
User = Annotated[str, typer.Argument(help="An account, for example tg:12345, dc:987 or eth:0x….")]
InDao = Annotated[str, typer.Option("--dao", help="The DAO's id.")]
Roles = Annotated[list[str], typer.Option("--role", "-r", help="A role; may be given more than once.")]
Expires = Annotated[str | None, typer.Option("--expires", help="How long the membership lasts, for example 90d or 12h; or never.")]
NEVER = "never"


@app.command(epilog="Example: dagi member create tg:12345 --dao greenfood-dao --role member")
def create(
    user: User,
    dao: InDao,
    role: Roles,
    name: Annotated[str, typer.Option(help="The person's name.")] = "",
    expires: Expires = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Take a person into a DAO."""
    clock, user = SystemClock(), account(user)
    until = _until(expires or NEVER, clock)
    made = with_database(
        installation(profile, config),
        lambda database: MemberAdmin(database, clock, operator()).create(dao, user, role, name=name, expires_at=until),
    )
    _print([made], json=json)


@app.command("list", epilog="Example: dagi member list --dao greenfood-dao")
def list_all(dao: InDao, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List the members of a DAO."""
    _print(
        with_database(installation(profile, config), lambda database: MemberAdmin(database, SystemClock(), operator()).all(dao)),
        json=json,
    )


@app.command(epilog="Example: dagi member show tg:12345 --dao greenfood-dao")
def show(user: User, dao: InDao, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Show one member."""
    user = account(user)
    found = with_database(installation(profile, config), lambda database: MemberAdmin(database, SystemClock(), operator()).show(dao, user))
    _print([found], json=json)


@app.command(epilog="Example: dagi member update tg:12345 --dao greenfood-dao --role contributor")
def update(
    user: User,
    dao: InDao,
    role: Annotated[list[str] | None, typer.Option("--role", "-r", help="The roles from now on.")] = None,
    suspended: Annotated[bool | None, typer.Option("--suspend/--resume", help="Whether the membership rests.")] = None,
    expires: Expires = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Change roles or expiry, suspend or resume a member."""
    clock, user = SystemClock(), account(user)
    until = msgspec.UNSET if expires is None else _until(expires, clock)
    found = with_database(
        installation(profile, config),
        lambda database: MemberAdmin(database, clock, operator()).update(dao, user, roles=role, suspended=suspended, expires_at=until),
    )
    _print([found], json=json)


@app.command(epilog="Example: dagi member remove tg:12345 --dao greenfood-dao --yes")
def remove(user: User, dao: InDao, profile: Profile = None, config: Config = None, yes: Yes = False) -> None:
    """End a membership."""
    user = account(user)
    if not yes:
        typer.confirm(f"Remove {user} from {dao}?", abort=True)
    with_database(installation(profile, config), lambda database: MemberAdmin(database, SystemClock(), operator()).remove(dao, user))
    say(f"{user} is no longer a member of {dao}.")


app.command("import", epilog="Example: dagi member import members.csv --dao greenfood-dao --dry-run")(import_file)


def _until(expires: str, clock: SystemClock) -> datetime | None:
    return None if expires == NEVER else clock.now() + duration(expires)


def _print(members: list[MemberInfo] | tuple[MemberInfo, ...], *, json: bool) -> None:
    if json:
        as_json(members)
        return
    rows = [(one.identities, one.name, one.roles, ", ".join(dict.fromkeys(one.sources)), one.suspended, one.expires_at) for one in members]
    nobody = "The DAO has no members yet. `dagi member create` takes one in."
    table(("accounts", "name", "roles", "by", "suspended", "expires"), rows, empty=nobody)
