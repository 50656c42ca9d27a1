"""`dagi identity`: one person, many accounts."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from dagi.access.siwe import MAX_MESSAGE
from dagi.access.wallets import account as account_of
from dagi.assemble.identities import Linked
from dagi.assemble.outside import read_outside
from dagi.cli.options import AsJson, Config, Profile, Yes, installation
from dagi.cli.output import as_json, say, table
from dagi.cli.work import operator, with_database
from dagi.errors import Invalid
from dagi.observe.clock import SystemClock
from dagi.observe.observer import SilentObserver
from dagi.outbound import Client
from dagi.ports.identities import PersonInfo, Speaker
from dagi.stores.database import Database

T = TypeVar("T")

app = typer.Typer(help="Accounts of people: list, link, unlink, transfer; codes and wallets.", no_args_is_help=True)
User = Annotated[str, typer.Argument(help="An account, for example tg:12345, dc:987 or eth:0x….")]
Other = Annotated[str, typer.Argument(help="Another account of the same person.")]


@app.command("list", epilog="Example: dagi identity list tg:12345")
def list_all(user: User, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List the accounts of the person an account belongs to."""
    _print(_work(profile, config, lambda linked: linked.persons.show(account_of(user))), json=json)


@app.command(epilog="Example: dagi identity code tg:12345")
def code(user: User, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Make a code for somebody whose account you are sure of; told at another account, it links that one."""
    made = _work(profile, config, lambda linked: linked.linking.begin_code(_speaker(user)))
    if json:
        as_json(made)
        return
    say(f"{made.code}\nTold at another account before {made.expires_at:%H:%M} UTC, it links that account with {user}.")
    say("Give it to nobody but that person, and in private.")


@app.command(epilog="Example: dagi identity link tg:12345 dc:987")
def link(
    user: User,
    other: Other,
    trusted: Annotated[bool, typer.Option("--trusted", help="Hold nothing back: both may administer at once.")] = False,
    profile: Profile = None,
    config: Config = None,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Make two accounts one person's, on your word that they are."""
    one, second = account_of(user), account_of(other)
    if not yes:
        people = [_work(profile, config, lambda linked, each=each: linked.persons.show(each)) for each in (one, second)]
        for each, person in zip((one, second), people, strict=True):
            say(f"{each}: {_told(person)}")
        typer.confirm("Make them one person, with everything both may do?", abort=True)
    _print(_work(profile, config, lambda linked: linked.admin(operator()).link(one, second, trusted=trusted)), json=json)


@app.command(epilog="Example: dagi identity unlink dc:987 --yes")
def unlink(user: User, profile: Profile = None, config: Config = None, yes: Yes = False, json: AsJson = False) -> None:
    """Take an account away from its person."""
    account = account_of(user)
    if not yes:
        typer.confirm(f"Unlink {account}?", abort=True)
    _print(_work(profile, config, lambda linked: linked.admin(operator()).unlink(account)), json=json)


@app.command(epilog="Example: dagi identity transfer dc:987 --to tg:12345 --yes")
def transfer(
    user: User,
    to: Annotated[str, typer.Option("--to", help="An account of the person who gets it.")],
    profile: Profile = None,
    config: Config = None,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Give an account to another person. For a day nothing administrative is done through it."""
    account, target = account_of(user), account_of(to, "to")
    if not yes:
        typer.confirm(f"Give {account} to the person of {target}?", abort=True)
    _print(_work(profile, config, lambda linked: linked.admin(operator()).transfer(account, target)), json=json)


@app.command(epilog="Example: dagi identity siwe tg:12345 --address 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 > message.txt")
def siwe(
    user: User,
    address: Annotated[str | None, typer.Option(help="The wallet that will sign; prints the message.")] = None,
    chain: Annotated[int | None, typer.Option(help="The chain's number; the first one allowed where left out.")] = None,
    message: Annotated[Path | None, typer.Option(help="The message that was signed, in a file.")] = None,
    signature: Annotated[str | None, typer.Option(help="Its signature.")] = None,
    profile: Profile = None,
    config: Config = None,
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Link a wallet by its signature: first with --address, then with --message and --signature."""
    if message is None or signature is None:
        if address is None:
            raise Invalid("Give --address first, and --message with --signature after the wallet has signed.", field="--address")
        asked = _work(profile, config, lambda linked: linked.linking.challenge(_speaker(user), address, chain))
        if json:
            as_json(asked)
        else:
            # To the letter, without a line break more: this is what is signed.
            typer.echo(asked.message, nl=False)
        return
    text = _read(message)
    preview = _work(profile, config, lambda linked: linked.linking.prove_wallet(_speaker(user), text, signature))
    if not yes:
        typer.confirm(f"The wallet has signed. Link {preview.accounts[0]} and {preview.accounts[1]}?", abort=True)
    _print(_work(profile, config, lambda linked: linked.linking.confirm(_speaker(user), preview.confirm)), json=json)


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            return opened.read(MAX_MESSAGE + 1).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Invalid(f"{file} cannot be read as text.", field="--message") from error


def _speaker(user: str) -> Speaker:
    return Speaker(account=account_of(user), operator=operator())


def _work(profile: str | None, config: str | None, work: Callable[[Linked], Awaitable[T]]) -> T:
    of = installation(profile, config)
    outside = read_outside(of.loaded)

    async def run(database: Database) -> T:
        async with Client() as http:
            return await work(Linked(of.loaded.settings, outside, database, SystemClock(), http, SilentObserver()))

    return with_database(of, run)


def _told(person: PersonInfo) -> str:
    if not person.identities:
        return "known nowhere yet"
    roles = "; ".join(f"{dao_id}: {', '.join(held)}" for dao_id, held in person.roles.items()) or "no roles"
    return f"{', '.join(one.id for one in person.identities)} ({roles})"


def _print(person: PersonInfo, *, json: bool) -> None:
    if json:
        as_json(person)
        return
    rows = [(one.id, one.proved_by or "known first", one.created_at, one.trusted_from) for one in person.identities]
    table(("account", "linked by", "since", "administers from"), rows, empty="Nobody is known by that account.")
    for dao_id, held in person.roles.items():
        say(f"{dao_id}: {', '.join(held)}")
