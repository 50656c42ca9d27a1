"""`dagi governance`: what a DAO decides together."""

import sys
from collections.abc import Mapping
from typing import Annotated

import typer

from dagi.access.wallets import account
from dagi.cli.options import AsJson, Config, Profile, account_option, installation
from dagi.cli.output import as_json, say, table, write
from dagi.cli.times import moment
from dagi.cli.work import operator, with_database
from dagi.errors import Denied, Invalid
from dagi.governance.drafting import Wish, read_weight
from dagi.governance.proposal import STATES, Counted, State, Vote
from dagi.governance.showing import ShownBody, count_line, shown, shown_vote
from dagi.observe.clock import SystemClock
from dagi.ports.proposals import Ballot
from dagi.stores.database import Database
from dagi.stores.proposals import SqlProposals

app = typer.Typer(help="What a DAO decides together: proposals.", no_args_is_help=True)
proposals = typer.Typer(help="Proposals: add, list, show, vote, close.", no_args_is_help=True)
app.add_typer(proposals, name="proposal")
InDao = Annotated[str, typer.Option("--dao", help="The DAO's id.")]
Number = Annotated[str, typer.Argument(help="The proposal's number, for example 12.", metavar="NUMBER")]
_BY_NAME: Mapping[str, State] = {one: one for one in STATES}
_STATES = f"Those in this state alone: {', '.join(STATES)}. May be given more than once."


@proposals.command(epilog='Example: dagi governance proposal add "Buy a beehive" --dao greenfood-dao --closes 5d --quorum 25%')
def add(
    title: Annotated[str, typer.Argument(help="What is proposed, in one line.")],
    dao: InDao,
    closes: Annotated[str, typer.Option("--closes", help="The deadline: 5d from now, or 2026-12-24T18:00:00Z.")],
    body: Annotated[str, typer.Option(help="The proposal's text.")] = "",
    author: Annotated[
        str, typer.Option(callback=account_option, help="Whose proposal it is, for example tg:12345; yours where left out.")
    ] = "",
    quorum: Annotated[str, typer.Option(help="How many have to vote: 5 people, or 25% or 1/4 of those who may.")] = "0",
    approval: Annotated[str, typer.Option(help="The share that has to be for it: 60% or 2/3; a simple majority where left out.")] = "",
    choice: Annotated[list[str] | None, typer.Option("--choice", help="A choice, where it is not for, against and abstain.")] = None,
    opens: Annotated[str, typer.Option("--opens", help="When voting begins, at once where left out.")] = "",
    abstentions: Annotated[bool, typer.Option("--abstentions/--no-abstentions", help="Whether abstentions count for the quorum.")] = True,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Enter a proposal. Who may vote on it is fixed now."""
    clock = SystemClock()
    wish = Wish(
        title=title,
        body=body,
        choices=choice or (),
        quorum=quorum,
        approval=approval,
        abstentions_count=abstentions,
        opens_at=moment(opens, clock.now(), "opens") if opens else None,
        closes_at=moment(closes, clock.now(), "closes"),
    )
    made = with_database(installation(profile, config), lambda database: _proposals(database).add(dao, wish, author))
    _print(made, json=json)


@proposals.command("list", epilog="Example: dagi governance proposal list --dao greenfood-dao --state active")
def list_all(
    dao: InDao,
    state: Annotated[list[str] | None, typer.Option("--state", help=_STATES)] = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="How many, the latest.")] = 50,
    before: Annotated[int | None, typer.Option(help="Those with smaller numbers.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """List proposals, newest first."""
    states: list[State] = [_state(one) for one in state or ()]
    found = with_database(installation(profile, config), lambda database: _proposals(database).all(dao, states, limit=limit, before=before))
    if json:
        as_json([shown(one) for one in found])
        return
    rows = [
        (f"#{one.proposal.number}", one.proposal.title, one.outcome or one.state, one.proposal.closes_at, count_line(one), _quorum(one))
        for one in found
    ]
    table(
        ("number", "title", "state", "ends (UTC)", "votes", "quorum"),
        rows,
        empty="There are none. `dagi governance proposal add` enters one.",
    )


@proposals.command(epilog="Example: dagi governance proposal show 1 --dao greenfood-dao")
def show(number: Number, dao: InDao, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Show a proposal with its votes."""
    wanted = _number(number)

    async def read(database: Database) -> tuple[Counted, tuple[Vote, ...]]:
        store = _proposals(database)
        return await store.show(dao, wanted), await store.votes(dao, wanted)

    found, votes = with_database(installation(profile, config), read)
    if json:
        as_json(ShownBody(shown(found), [shown_vote(one) for one in votes]))
        return
    _print(found, json=False)
    if found.proposal.body:
        write(f"\n{found.proposal.body}\n\n", sys.stdout)
    rows = [(one.user_id, one.choice, one.weight, one.at, "" if one.by == one.user_id else one.by) for one in votes]
    table(("voter", "choice", "weight", "at (UTC)", "entered by"), rows, empty="Nobody has voted.")


@proposals.command(epilog="Example: dagi governance proposal vote 1 for --user tg:12345 --dao greenfood-dao")
def vote(
    number: Number,
    choice: Annotated[str, typer.Argument(help="The choice, by its name or its number.")],
    user: Annotated[str, typer.Option("--user", help="Whose vote it is, for example tg:12345.")],
    dao: InDao,
    weight: Annotated[str, typer.Option(help="What it weighs, where votes were counted elsewhere.")] = "1",
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Enter a member's vote; it replaces the one the member gave before."""
    ballot = Ballot(user_id=account(user), choice=choice, weight=read_weight(weight))
    wanted = _number(number)
    try:
        found = with_database(installation(profile, config), lambda database: _proposals(database).vote(dao, wanted, ballot))
    except Denied as denied:
        reason = denied.facts.get("reason")
        if reason not in {"not_a_member", "suspended", "expired", "dao_suspended", "role_lacks_entitlement"}:
            raise
        # The sentence speaks to the member, and here somebody else reads it.
        told = f"{user} cannot vote on #{wanted}: {reason}. dagi access why {user} proposal.vote --dao {dao}"
        raise Denied(told, **denied.facts) from denied
    _print(found, json=json)


@proposals.command(epilog="Example: dagi governance proposal close 1 --dao greenfood-dao --cancel")
def close(
    number: Number,
    dao: InDao,
    cancel: Annotated[bool, typer.Option("--cancel", help="Decide nothing, whatever the votes.")] = False,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """End a proposal before its deadline and count it. At its deadline it closes by itself."""
    wanted = _number(number)
    found = with_database(installation(profile, config), lambda database: _proposals(database).close(dao, wanted, cancel=cancel))
    _print(found, json=json)


def _proposals(database: Database) -> SqlProposals:
    return SqlProposals(database, SystemClock(), operator())


def _number(text: str) -> int:
    """`12` or `#12`, as people write it."""
    digits = text.removeprefix("#")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise Invalid(f"{text[:40]!r} is no number of a proposal. Write 12, for example.", field="number")
    return int(digits)


def _state(text: str) -> State:
    found = _BY_NAME.get(text)
    if found is None:
        raise Invalid(f"{text[:40]!r} is no state of a proposal.", field="state", allowed=list(STATES))
    return found


def _quorum(one: Counted) -> str:
    return f"{one.tally.counted} of {one.tally.needed}" if one.tally.needed else "none needed"


def _print(one: Counted, *, json: bool) -> None:
    if json:
        as_json(shown(one))
        return
    say(f"#{one.proposal.number} of {one.proposal.dao_id}: {one.outcome or one.state}")
    rows = [
        (
            one.proposal.title,
            one.proposal.author,
            one.proposal.opens_at,
            one.proposal.closes_at,
            count_line(one),
            f"{_quorum(one)} ({one.proposal.electorate} may vote)",
        )
    ]
    table(("title", "author", "opens (UTC)", "ends (UTC)", "votes", "quorum"), rows, empty="")
