"""`dagi key`: API keys."""

from typing import Annotated

import typer

from dagi.cli.durations import duration
from dagi.cli.options import AsJson, Config, Profile, installation
from dagi.cli.output import as_json, say, table
from dagi.cli.work import with_database
from dagi.observe.clock import SystemClock
from dagi.stores.keys import Keys

app = typer.Typer(help="API keys: create, list, revoke.", no_args_is_help=True)


@app.command(epilog="Example: dagi key create --dao greenfood-dao --role member --expires 90d")
def create(
    dao: Annotated[str, typer.Option("--dao", help="The DAO the key belongs to.")],
    role: Annotated[str, typer.Option("--role", "-r", help="The role the key has in that DAO.")],
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    act_as: Annotated[bool, typer.Option("--act-as", help="It may speak for the DAO's members, as a bot or Dify does.")] = False,
    expires: Annotated[str | None, typer.Option("--expires", help="How long it lasts, for example 90d.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Make a key and print it, once."""
    clock = SystemClock()
    until = None if expires is None else clock.now() + duration(expires)
    made = with_database(
        installation(profile, config),
        lambda database: Keys(database, clock).create(dao, role, label=label, act_as=act_as, expires_at=until),
    )
    if json:
        as_json(made)
        return
    say(made.key)
    typer.echo(f"This is the only time it is shown. Id {made.id}, role {made.role} in {made.dao_id}.", err=True)


@app.command("list", epilog="Example: dagi key list --dao greenfood-dao")
def list_all(
    dao: Annotated[str | None, typer.Option("--dao", help="Only keys of this DAO.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """List keys, without their secrets."""
    keys = with_database(installation(profile, config), lambda database: Keys(database, SystemClock()).all(dao))
    if json:
        as_json(keys)
        return
    rows = [(key.id, key.dao_id, key.role, key.label, key.act_as, key.expires_at, key.revoked_at) for key in keys]
    table(("id", "dao", "role", "label", "act as", "expires", "revoked"), rows, empty="There is no key yet. `dagi key create` makes one.")


@app.command(epilog="Example: dagi key revoke 1f2e3d4c5b6a")
def revoke(
    key: Annotated[str, typer.Argument(help="The key's id.")],
    profile: Profile = None,
    config: Config = None,
) -> None:
    """End a key for good; running processes notice within a second."""
    with_database(installation(profile, config), lambda database: Keys(database, SystemClock()).revoke(key))
    say(f"The key {key} is revoked.")
