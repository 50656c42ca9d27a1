"""`dagi key`: API keys."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated

import msgspec
import typer

from dagi.cli.amounts import MoneyPerMonth, Rpm, TokensPerDay, as_units, changes, quota, shown
from dagi.cli.durations import duration
from dagi.cli.options import AsJson, Config, Profile, installation
from dagi.cli.output import as_json, say, table
from dagi.cli.work import operator, with_database
from dagi.observe.clock import SystemClock
from dagi.ports.administration import KeyInfo, NewKey
from dagi.stores.database import Database
from dagi.stores.keys import Keys
from dagi.stores.spend import Spends

app = typer.Typer(help="API keys: create, list, show, limits, rotate, revoke.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="The key's id.")]


@app.command(epilog="Example: dagi key create --dao greenfood-dao --role member --expires 90d --rpm 60")
def create(
    dao: Annotated[str, typer.Option("--dao", help="The DAO the key belongs to.")],
    role: Annotated[str, typer.Option("--role", "-r", help="The role the key has in that DAO.")],
    label: Annotated[str, typer.Option(help="What the key is for.")] = "",
    act_as: Annotated[bool, typer.Option("--act-as", help="It may speak for the DAO's members, as a bot or Dify does.")] = False,
    expires: Annotated[str | None, typer.Option("--expires", help="How long it lasts, for example 90d.")] = None,
    rpm: Rpm = None,
    tokens_per_day: TokensPerDay = None,
    money_per_month: MoneyPerMonth = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Make a key and print it, once."""
    own = quota(changes(rpm, tokens_per_day, money_per_month))
    until = _until(expires)
    made = with_database(
        installation(profile, config),
        lambda database: _keys(database).create(dao, role, label=label, act_as=act_as, expires_at=until, quota=own),
    )
    _print_new(made, json=json)


@app.command("list", epilog="Example: dagi key list --dao greenfood-dao")
def list_all(
    dao: Annotated[str | None, typer.Option("--dao", help="Only keys of this DAO.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """List keys, without their secrets."""

    async def read(database: Database) -> tuple[tuple[KeyInfo, ...], Mapping[str, datetime]]:
        return await _keys(database).all(dao), await Spends(database).last_uses()

    keys, used = with_database(installation(profile, config), read)
    if json:
        as_json([_told(key, used.get(key.id)) for key in keys])
        return
    rows = [
        (key.id, key.dao_id, key.role, key.label, key.act_as, _limits(key), used.get(key.id), key.expires_at, key.revoked_at)
        for key in keys
    ]
    columns = ("id", "dao", "role", "label", "act as", "limits", "last used", "expires", "revoked")
    table(columns, rows, empty="There is no key yet. `dagi key create` makes one.")


@app.command(epilog="Example: dagi key show 1f2e3d4c5b6a")
def show(key: Id, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Show one key: its limits, its last use, and until when the secret before the last rotation counts."""

    async def read(database: Database) -> tuple[KeyInfo, datetime | None]:
        return await _keys(database).show(key), (await Spends(database).last_uses()).get(key)

    found, used = with_database(installation(profile, config), read)
    _print(found, used, json=json)


@app.command(epilog="Example: dagi key limits 1f2e3d4c5b6a --rpm 120 --money-per-month none")
def limits(
    key: Id,
    rpm: Rpm = None,
    tokens_per_day: TokensPerDay = None,
    money_per_month: MoneyPerMonth = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Show or change a key's own limits; running processes notice within a second."""
    wanted = changes(rpm, tokens_per_day, money_per_month)
    found = with_database(installation(profile, config), lambda database: _keys(database).limit(key, wanted))
    _print(found, None, json=json)


@app.command(epilog="Example: dagi key rotate 1f2e3d4c5b6a --overlap 24h")
def rotate(
    key: Id,
    overlap: Annotated[str, typer.Option("--overlap", help="How long the old secret still counts: 24h; 0 ends it now.")] = "24h",
    expires: Annotated[str | None, typer.Option("--expires", help="How long the key lasts from now; left out, its end stays.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Give a key a new secret and print it, once. Its id, role, limits and what it has spent stay."""
    still = timedelta() if overlap == "0" else duration(overlap, "overlap")
    until = _until(expires)
    made = with_database(
        installation(profile, config),
        lambda database: _keys(database).rotate(key, overlap=still, expires_at=until),
    )
    _print_new(made, json=json)


@app.command(epilog="Example: dagi key revoke 1f2e3d4c5b6a")
def revoke(key: Id, profile: Profile = None, config: Config = None) -> None:
    """End a key for good; running processes notice within a second."""
    with_database(installation(profile, config), lambda database: _keys(database).revoke(key))
    say(f"The key {key} is revoked.")


def _until(expires: str | None) -> datetime | None:
    return None if expires is None else SystemClock().now() + duration(expires)


def _print_new(made: NewKey, *, json: bool) -> None:
    if json:
        as_json(made)
        return
    say(made.key)
    ending = "" if made.previous_until is None else f" The old secret counts until {made.previous_until:%Y-%m-%d %H:%M} UTC."
    typer.echo(f"This is the only time it is shown. Id {made.id}, role {made.role} in {made.dao_id}.{ending}", err=True)


def _print(key: KeyInfo, used: datetime | None, *, json: bool) -> None:
    if json:
        as_json(_told(key, used))
        return
    told = (
        ("dao", key.dao_id),
        ("role", key.role),
        ("label", key.label),
        ("speaks for others", key.act_as),
        ("requests a minute", shown(key.rpm)),
        ("tokens a day", shown(key.tokens_per_day)),
        ("money a month", shown(key.money_per_month, money=True)),
        ("last used", used),
        ("made", key.created_at),
        ("expires", key.expires_at),
        ("old secret until", key.previous_until),
        ("revoked", key.revoked_at),
    )
    table(("key", key.id), told, empty="")


def _told(key: KeyInfo, used: datetime | None) -> dict[str, object]:
    limited = {name: "none" if value == -1 else value for name, value in (("rpm", key.rpm), ("tokens_per_day", key.tokens_per_day))}
    return {**msgspec.to_builtins(key), **limited, "money_per_month": as_units(key.money_per_month), "last_used_at": used}


def _limits(key: KeyInfo) -> str:
    """A key's own limits on one line; empty where it has none."""
    told = (("rpm", shown(key.rpm)), ("tokens/day", shown(key.tokens_per_day)), ("money/month", shown(key.money_per_month, money=True)))
    return ", ".join(f"{name} {value}" for name, value in told if value != "default")


def _keys(database: Database) -> Keys:
    return Keys(database, SystemClock(), operator())
