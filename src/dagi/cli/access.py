"""`dagi access`: what somebody may do, and why."""

import asyncio
from typing import Annotated

import typer

from dagi.access.decide import decide
from dagi.access.entitlements import is_entitlement
from dagi.access.names import check_dao, check_identity
from dagi.assemble.installation import Installation
from dagi.cli.options import AsJson, Config, Profile, installation
from dagi.cli.output import as_json, say
from dagi.errors import Denied, Invalid
from dagi.message import Grant, Sender
from dagi.observe.clock import SystemClock
from dagi.observe.observer import SilentObserver
from dagi.stores.directory import Directory
from dagi.stores.upgrade import upgrade

app = typer.Typer(help="What somebody may do, and why.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """What somebody may do, and why."""


@app.command(epilog="Example: dagi access why tg:12345 devtools.write --dao greenfood-dao")
def why(
    user: Annotated[str, typer.Argument(help="An account, for example tg:12345.")],
    entitlement: Annotated[str | None, typer.Argument(help="An entitlement, for example chat.use; without it all are shown.")] = None,
    dao: Annotated[str | None, typer.Option("--dao", help="The DAO's id; the profile's default where left out.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Say whether somebody may do something in a DAO, and for which reason. Exit status 0: yes, 3: no."""
    check_identity(user)
    of = installation(profile, config)
    dao = dao or of.loaded.settings.dao.default
    if dao is None:
        raise Invalid("Which DAO? Name it with --dao: this profile has no default.", field="dao")
    check_dao(dao)
    if entitlement is not None and not is_entitlement(entitlement):
        raise Invalid(f"{entitlement!r} is not an entitlement; `dagi access why {user}` lists what somebody has.", field="entitlement")
    grant = asyncio.run(_grant(of, dao, user))
    if json:
        allowed = None if entitlement is None else grant.allows(entitlement)
        body: dict[str, object] = {"dao_id": dao, "user_id": user, "roles": grant.roles, "reason": grant.reason}
        as_json({**body, "entitlements": sorted(grant.entitlements), "entitlement": entitlement, "allow": allowed})
    else:
        _tell(grant, entitlement)
    if entitlement is not None and not grant.allows(entitlement):
        raise typer.Exit(3)


async def _grant(of: Installation, dao: str, user: str) -> Grant:
    database = of.database()
    try:
        await upgrade(database)
        directory = Directory(database, SystemClock(), SilentObserver())
        await directory.refresh()
        return decide(Sender(dao_id=dao, user_id=user), directory.standing(dao, user), SystemClock().now(), "")
    finally:
        await database.close()


def _tell(grant: Grant, entitlement: str | None) -> None:
    roles = ", ".join(grant.roles) or "none"
    if entitlement is None:
        say(f"{grant.user_id} in {grant.dao_id}: roles {roles} ({grant.reason}).")
        say("May: " + (", ".join(sorted(grant.entitlements)) or "nothing"))
        return
    if grant.allows(entitlement):
        say(f"Yes. {grant.user_id} may {entitlement} in {grant.dao_id}: the role {roles} grants it.")
        return
    try:
        grant.require(entitlement)
    except Denied as denied:
        say(f"No. {denied.message} (roles: {roles}; reason: {denied.facts['reason']})")
