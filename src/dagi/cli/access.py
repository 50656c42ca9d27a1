"""`dagi access`: what somebody may do, and why."""

from collections.abc import Iterable
from difflib import get_close_matches
from secrets import token_hex
from typing import Annotated

import typer

from dagi.access.decide import Standing, decide
from dagi.access.entitlements import ADMIN, TOOL_ENTITLEMENTS, is_entitlement
from dagi.access.names import check_dao
from dagi.access.wallets import account
from dagi.assemble.installation import Installation
from dagi.cli.options import AsJson, Config, Profile, installation
from dagi.cli.output import as_json, say
from dagi.cli.work import with_database
from dagi.errors import Denied, Invalid
from dagi.message import Grant, Sender, covers
from dagi.observe.clock import SystemClock
from dagi.observe.observer import SilentObserver
from dagi.ports.audit import Denial
from dagi.stores.database import Database
from dagi.stores.denials import DenialStore
from dagi.stores.standings import read_standing

app = typer.Typer(help="What somebody may do, and why.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """What somebody may do, and why."""


@app.command(epilog="Example: dagi access why tg:12345 devtools.write --dao greenfood-dao")
def why(
    user: Annotated[str, typer.Argument(help="An account, for example tg:12345.")],
    entitlement: Annotated[
        str | None, typer.Argument(help="An entitlement, for example chat.use, or a tool, for example fs_write; without it all are shown.")
    ] = None,
    dao: Annotated[str | None, typer.Option("--dao", help="The DAO's id; the profile's default where left out.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Say whether somebody may do something in a DAO, and for which reason. Exit status 0: yes, 3: no."""
    user = account(user)
    of = installation(profile, config)
    dao = _dao(of, dao)
    if entitlement is not None:
        entitlement = _known(entitlement)
    grant, standing = with_database(of, lambda database: _decided(database, dao, user))
    if json:
        allowed = None if entitlement is None else grant.allows(entitlement)
        body: dict[str, object] = {"dao_id": dao, "user_id": user, "roles": grant.roles, "reason": grant.reason}
        body |= {"policy_version": grant.policy_version, "needs_one_of": _granting(standing, entitlement)}
        as_json({**body, "entitlements": sorted(grant.entitlements), "entitlement": entitlement, "allow": allowed})
    else:
        _tell(grant, standing, entitlement)
    if entitlement is not None and not grant.allows(entitlement):
        raise typer.Exit(3)


@app.command(epilog="Example: dagi access check tg:12345 fs_write --dao greenfood-dao")
def check(
    user: Annotated[str, typer.Argument(help="An account, for example tg:12345.")],
    action: Annotated[str, typer.Argument(help="An entitlement, for example chat.use, or a tool, for example fs_write.")],
    dao: Annotated[str | None, typer.Option("--dao", help="The DAO's id; the profile's default where left out.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Decide as POST /rbac/check does: a refusal is put on record. Exit status 0: yes, 3: no."""
    user, entitlement = account(user), _known(action)
    of = installation(profile, config)
    dao = _dao(of, dao)
    denied, grant, standing = with_database(of, lambda database: _checked(database, dao, user, entitlement))
    reason = grant.reason if denied is None else str(denied.facts["reason"])
    if json:
        needed = [] if denied is None else _granting(standing, entitlement)
        body = {"allow": denied is None, "reason": reason, "needs_one_of": needed, "decision_id": grant.decision_id}
        as_json({**body, "roles": grant.roles, "entitlement": entitlement, "policy_version": grant.policy_version})
    else:
        say(f"{'Yes' if denied is None else 'No'}. {user}, {entitlement} in {dao}: {reason}.")
    if denied is not None:
        raise typer.Exit(3)


async def _checked(database: Database, dao: str, user: str, entitlement: str) -> tuple[Denied | None, Grant, Standing]:
    grant, standing = await _decided(database, dao, user, token_hex(8))
    try:
        grant.require(entitlement)
    except Denied as denied:
        async with DenialStore(database, SystemClock(), SilentObserver()) as denials:
            denials.denied(Denial.of(denied, grant, grant.decision_id))
        return denied, grant, standing
    return None, grant, standing


def _dao(of: Installation, named: str | None) -> str:
    dao = named or of.loaded.settings.dao.default
    if dao is None:
        raise Invalid("Which DAO? Name it with --dao: this profile has no default.", field="dao")
    check_dao(dao)
    return dao


def _known(entitlement: str) -> str:
    """The entitlement that is meant: itself, or what a tool of that name needs."""
    entitlement = TOOL_ENTITLEMENTS.get(entitlement, entitlement)
    if not is_entitlement(entitlement):
        known = [*sorted(ADMIN), "workflow.run:<name>"]
        close = get_close_matches(entitlement, known, n=1)
        meant = f" Did you mean {close[0]}?" if close else ""
        raise Invalid(f"{entitlement!r} is neither an entitlement nor a tool.{meant}", field="entitlement", allowed=known)
    return entitlement


async def _decided(database: Database, dao: str, user: str, decision_id: str = "") -> tuple[Grant, Standing]:
    async with database.read(dao) as connection:
        standing = await read_standing(connection, dao, user)
    return decide(Sender(dao_id=dao, user_id=user), standing, SystemClock().now(), decision_id), standing


def _granting(standing: Standing, entitlement: str | None) -> list[str]:
    """The DAO's roles that would do, weakest first."""
    roles = {} if standing.dao is None else standing.dao.roles
    return [role for role, granted in reversed(list(roles.items())) if entitlement is not None and covers(granted, entitlement)]


def _tell(grant: Grant, standing: Standing, entitlement: str | None) -> None:
    roles = ", ".join(grant.roles) or "none"
    if standing.dao is None:
        say(f"No. There is no DAO {grant.dao_id}; to people that is the same as not being a member of it. `dagi dao list` shows the DAOs.")
        return
    if entitlement is None:
        say(f"{grant.user_id} in {grant.dao_id}: roles {roles} ({grant.reason}).")
        say("May: " + (", ".join(sorted(grant.entitlements)) or "nothing"))
        if grant.withheld:
            say("Not yet, for the account was linked a short while ago: " + ", ".join(sorted(grant.withheld)))
        return
    granting = _granting(standing, entitlement)
    if grant.allows(entitlement):
        having = [role for role in grant.roles if role in granting]
        say(f"Yes. {grant.user_id} may {entitlement} in {grant.dao_id}: the role {', '.join(having)} grants it.")
        return
    say(f"No. {_why(grant, standing, entitlement)} (roles: {roles}; reason: {_reason(grant, entitlement)})")
    help_ = _help(grant, standing, entitlement)
    if help_:
        say(help_)


def _help(grant: Grant, standing: Standing, entitlement: str) -> str:
    """What an operator would type, where anything helps but waiting."""
    at, granting = f"{grant.user_id} --dao {grant.dao_id}", _granting(standing, entitlement)
    match _reason(grant, entitlement):
        case "suspended":
            return f"To end that: dagi member update {at} --resume"
        case "expired":
            return f"To renew it: dagi member update {at} --expires 90d"
        case "dao_suspended":
            return f"To end that: dagi dao update {grant.dao_id} --resume"
        case "role_lacks_entitlement" | "not_a_member" if granting:
            return f"Roles that grant it: {', '.join(granting)}. {_giving(grant, standing, granting[0])}"
        case _:
            shown = f"No role of {grant.dao_id} grants it. `dagi role list --dao {grant.dao_id}` shows what each may do."
            return "" if granting else shown


def _giving(grant: Grant, standing: Standing, role: str) -> str:
    if grant.user_id.startswith("key:"):
        return f"A key keeps its role; a new one: dagi key create --dao {grant.dao_id} --role {role}"
    change = "create" if standing.membership is None else "update"
    command = f"dagi member {change} {grant.user_id} --dao {grant.dao_id}"
    wanted = f"{command} {_named(_beside(grant, standing, role))}"
    ended = {} if standing.membership is None else dict(standing.membership.ending)
    if role not in ended:
        return wanted
    # A role that is named again keeps its end, so it has to be taken first.
    return f"{role} was given until {ended[role]:%Y-%m-%d %H:%M} UTC. {command} {_named(grant.roles)} && {wanted}"


def _named(roles: Iterable[str]) -> str:
    return " ".join(f"--role {role}" for role in roles)


def _beside(grant: Grant, standing: Standing, role: str) -> list[str]:
    """A role, after those one has that allow what it does not: `dagi member update` names all the roles there are to be."""
    roles = {} if standing.dao is None else standing.dao.roles
    held = [] if standing.membership is None else grant.roles
    return [*(one for one in held if not all(covers(roles[role], each) for each in roles.get(one, ()))), role]


def _reason(grant: Grant, entitlement: str) -> str:
    try:
        grant.require(entitlement)
    except Denied as denied:
        return str(denied.facts["reason"])
    return grant.reason


def _why(grant: Grant, standing: Standing, entitlement: str) -> str:
    who, membership = grant.user_id, standing.membership
    reason = _reason(grant, entitlement)
    if reason == "expired" and membership is not None and membership.expires_at is not None:
        return f"The membership of {who} ended {membership.expires_at:%Y-%m-%d %H:%M} UTC."
    if reason == "recently_linked" and membership is not None and membership.trusted_from is not None:
        return f"{who} was linked a short while ago; {entitlement} comes with it from {membership.trusted_from:%Y-%m-%d %H:%M} UTC on."
    return {
        "not_a_member": f"{who} is not a member of {grant.dao_id}.",
        "suspended": f"The membership of {who} is suspended.",
        "dao_suspended": f"The DAO {grant.dao_id} is suspended.",
    }.get(reason, f"{who} has no role that grants {entitlement}.")
