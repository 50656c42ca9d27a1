"""`dagi member invite|invitations|withdraw`: invitations into a DAO."""

from typing import Annotated

import typer

from dagi.cli.durations import duration
from dagi.cli.options import AsJson, Config, Profile, installation
from dagi.cli.output import as_json, say, table
from dagi.cli.work import operator, with_database
from dagi.observe.clock import SystemClock
from dagi.stores.database import Database
from dagi.stores.invitations import InvitationAdmin

InDao = Annotated[str, typer.Option("--dao", help="The DAO's id.")]


def invite(
    dao: InDao,
    role: Annotated[str, typer.Option("--role", "-r", help="The role of whoever accepts.")],
    uses: Annotated[int, typer.Option(help="For how many people.")] = 1,
    expires: Annotated[str, typer.Option("--expires", help="How long it can be accepted, for example 7d.")] = "7d",
    member_for: Annotated[str | None, typer.Option(help="How long a membership it makes lasts, from now; for ever where left out.")] = None,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Make an invitation and print its code, once. Whoever tells it to the DAO's bot becomes a member."""
    now = SystemClock().now()
    ends = None if member_for is None else now + duration(member_for, "member-for")
    made = with_database(
        installation(profile, config),
        lambda database: _admin(database).create(dao, role, uses=uses, expires_at=now + duration(expires), label=label, member_until=ends),
    )
    if json:
        as_json(made)
        return
    say(made.code)
    people = "one person" if made.uses == 1 else f"{made.uses} people"
    typer.echo(f"This is the only time it is shown. Id {made.id}, for {people}, until {made.expires_at:%Y-%m-%d %H:%M} UTC.", err=True)


def invitations(dao: InDao, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List a DAO's invitations, newest first."""
    found = with_database(installation(profile, config), lambda database: _admin(database).all(dao))
    if json:
        as_json(found)
        return
    rows = [(one.id, one.role, one.uses_left, one.label, one.made_by, one.expires_at, one.revoked_at) for one in found]
    columns = ("id", "role", "uses left", "label", "made by", "expires", "withdrawn")
    table(columns, rows, empty="There is no invitation. `dagi member invite` makes one.")


def withdraw(
    invitation: Annotated[str, typer.Argument(help="The invitation's id.")], dao: InDao, profile: Profile = None, config: Config = None
) -> None:
    """End an invitation."""
    with_database(installation(profile, config), lambda database: _admin(database).revoke(dao, invitation))
    say(f"The invitation {invitation} is withdrawn.")


def _admin(database: Database) -> InvitationAdmin:
    return InvitationAdmin(database, SystemClock(), operator())
