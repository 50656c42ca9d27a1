"""`dagi member source`: tokens that make members."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer

from dagi.access.token_wishes import TokenWish
from dagi.assemble.installation import Installation
from dagi.assemble.tokens import Tokens
from dagi.cli.durations import duration
from dagi.cli.options import AsJson, Config, Profile, Yes, installation
from dagi.cli.output import as_json, say, table
from dagi.cli.work import operator
from dagi.observe.clock import SystemClock
from dagi.observe.observer import SilentObserver
from dagi.outbound import Client
from dagi.ports.token_rules import RuleInfo
from dagi.services.rbac.sources import source_body
from dagi.stores.token_rules import SqlTokenRules
from dagi.stores.upgrade import upgrade

T = TypeVar("T")
app = typer.Typer(help="Tokens that make members: add, list, check, remove.", no_args_is_help=True)
InDao = Annotated[str, typer.Option("--dao", help="The DAO's id.")]


@app.command(epilog="Example: dagi member source add --dao greenfood-dao --chain mainnet --token 0x… --standard erc20 --role member")
def add(
    dao: InDao,
    chain: Annotated[str, typer.Option(help="The chain's name under `chains` in the configuration, or its number.")],
    token: Annotated[str, typer.Option(help="The contract's address.")],
    standard: Annotated[str, typer.Option(help="erc20, erc721 or erc1155.")],
    role: Annotated[str, typer.Option("--role", "-r", help="The role of whoever holds enough.")],
    min_balance: Annotated[str, typer.Option(help="How much is enough, in the token's smallest unit.")] = "1",
    token_id: Annotated[str | None, typer.Option(help="Of ERC-1155 the token that counts; of ERC-721 one picture.")] = None,
    grace: Annotated[str, typer.Option(help="How long whoever has no longer enough keeps the role: 24h, 7d, or 0.")] = "24h",
    everyone: Annotated[
        bool, typer.Option("--everyone/--who-asks", help="Take in whoever has a wallet on this stack, or members and those alone who ask.")
    ] = True,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Let a token make members; a running stack asks the chain within moments."""
    wish = TokenWish(
        chain=chain,
        token=token,
        standard=standard,
        role=role,
        min_balance=min_balance,
        token_id=token_id,
        grace_s=0 if grace == "0" else int(duration(grace, "grace").total_seconds()),
        everyone=everyone,
    )
    made = _with_rules(installation(profile, config), lambda rules: rules.add(dao, wish))
    _print([RuleInfo(made, 0, 0)], json=json)


@app.command("list", epilog="Example: dagi member source list --dao greenfood-dao")
def list_all(dao: InDao, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List the tokens that make members."""
    _print(_with_rules(installation(profile, config), lambda rules: rules.all(dao)), json=json)


@app.command(epilog="Example: dagi member source check --dao greenfood-dao")
def check(dao: InDao, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Ask the chains now, and give and take the roles that follow."""
    found = _with_rules(installation(profile, config), lambda rules: rules.check(dao))
    if json:
        as_json(found)
        return
    rows = [(one.rule_id, one.holders, one.gained, one.lacking, one.lost, one.trouble or "none") for one in found]
    none = "The DAO has no rules. `dagi member source add` makes one."
    table(("rule", "holders", "gained", "now lacking", "lost", "trouble"), rows, empty=none)


@app.command(epilog="Example: dagi member source remove 5f0c1d2e3a4b --dao greenfood-dao --yes")
def remove(
    rule: Annotated[str, typer.Argument(help="The rule's id, see `dagi member source list`.")],
    dao: InDao,
    profile: Profile = None,
    config: Config = None,
    yes: Yes = False,
) -> None:
    """End a rule, and at once the roles that it alone has given."""
    if not yes:
        typer.confirm(f"End the rule {rule} and the roles it alone has given?", abort=True)
    _with_rules(installation(profile, config), lambda rules: rules.remove(dao, rule))
    say(f"The rule {rule} has ended.")


def _with_rules(of: Installation, work: Callable[[SqlTokenRules], Awaitable[T]]) -> T:
    async def run() -> T:
        database = of.database()
        try:
            await upgrade(database)
            async with Client() as http:
                return await work(Tokens(of, database, http, SystemClock(), SilentObserver()).rules(operator()))
        finally:
            await database.close()

    return asyncio.run(run())


def _print(found: list[RuleInfo] | tuple[RuleInfo, ...], *, json: bool) -> None:
    if json:
        as_json([source_body(one) for one in found])
        return
    rows = [
        (
            one.rule.id,
            one.rule.chain_id,
            one.rule.token,
            one.rule.standard if one.rule.token_id is None else f"{one.rule.standard} #{one.rule.token_id}",
            one.rule.min_balance,
            one.rule.role,
            one.holders,
            one.in_grace,
            one.rule.trouble or one.rule.checked_at or "not yet",
        )
        for one in found
    ]
    columns = ("rule", "chain", "token", "standard", "at least", "role", "holders", "in grace", "checked (UTC)")
    table(columns, rows, empty="The DAO has no rules. `dagi member source add` makes one.")
