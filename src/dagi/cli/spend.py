"""`dagi spend`: what was used of which limits."""

import re
from collections.abc import Mapping
from typing import Annotated

import msgspec
import typer

from dagi.access.limits import MICROS, NO_QUOTA, Holder, Quota
from dagi.access.names import check_dao
from dagi.assemble.limits import read_terms
from dagi.cli.options import AsJson, Config, Profile, account_option, installation
from dagi.cli.output import as_json, table
from dagi.cli.work import with_database
from dagi.errors import Invalid
from dagi.observe.clock import SystemClock
from dagi.stores.dao_limits import DaoLimits
from dagi.stores.database import Database
from dagi.stores.keys import Keys
from dagi.stores.limits import Terms
from dagi.stores.spend import Spends, Spent

_PERIOD = re.compile(r"[0-9]{4}-(0[1-9]|1[0-2])(-[0-3][0-9])?\Z")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What one holder used, beside what it may use; None is without a limit. Money in currency units."""

    period: str
    of: Holder
    dao_id: str
    id: str
    requests: int
    tokens: int
    money: float
    currency: str
    tokens_per_day: int | None
    money_per_month: float | None
    rpm: int | None


def spend(
    dao: Annotated[str | None, typer.Option("--dao", help="Only this DAO, its keys and its users.")] = None,
    user: Annotated[str | None, typer.Option("--user", callback=account_option, help="Only this user, for example tg:12345.")] = None,
    key: Annotated[str | None, typer.Option("--key", help="Only this key, by its id.")] = None,
    month: Annotated[str | None, typer.Option("--month", help="2026-11, or one day: 2026-11-23. This month where left out.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Show what was used in a month: requests, tokens and money of DAOs, users and keys, beside their limits.

    Example: dagi spend --dao greenfood-dao --month 2026-11
    """
    if user is not None and key is not None:
        raise Invalid("Name a user or a key, not both.", field="user")
    if month is not None and not _PERIOD.match(month):
        raise Invalid(f"{month[:40]!r} is no month. Write it as 2026-11, or a day as 2026-11-23.", field="month")
    of: Holder | None = "user" if user is not None else "key" if key is not None else None
    if dao is not None:
        check_dao(dao)
    where = installation(profile, config)
    period = month or f"{SystemClock().now():%Y-%m}"

    async def read(database: Database) -> list[Line]:
        found = await Spends(database).month(period, dao_id=dao, of=of, holder=user or key)
        daos = await DaoLimits(database, SystemClock()).all()
        keys = {one.id: one.quota for one in await Keys(database, SystemClock()).all(dao)}
        terms = read_terms(where.loaded.settings, ())
        return [_line(one, where.loaded.settings.prices.currency, terms, {"dao": daos, "key": keys}) for one in found]

    lines = with_database(where, read)
    if json:
        as_json(lines)
        return
    rows = [
        (one.id, one.of, one.dao_id, one.requests, one.tokens, one.tokens_per_day, f"{one.money:.6g} {one.currency}", one.money_per_month)
        for one in lines
    ]
    columns = ("id", "of", "dao", "requests", "tokens", "a day", "money", "a month")
    table(columns, rows, empty=f"Nothing was used in {period}.")


def _line(spent: Spent, currency: str, terms: Terms, own: Mapping[Holder, Mapping[str, Quota]]) -> Line:
    """What a holder used. One that is gone has the limits of the configuration."""
    default = {"dao": terms.dao, "key": terms.key, "user": terms.user}[spent.of]
    quota = own.get(spent.of, {}).get(spent.holder, NO_QUOTA).over(default)
    return Line(
        period=spent.period,
        of=spent.of,
        dao_id=spent.dao_id,
        id=spent.holder,
        requests=spent.requests,
        tokens=spent.tokens,
        money=spent.micros / MICROS,
        currency=currency,
        tokens_per_day=quota.tokens_per_day,
        money_per_month=None if quota.money_per_month is None else quota.money_per_month / MICROS,
        rpm=quota.rpm,
    )
