"""`dagi init`: the first run."""

import asyncio
import shlex
import sys
from typing import Annotated

import typer

from dagi.access.wallets import account
from dagi.assemble.first_run import Made, Wish, first_question, first_run, short_name
from dagi.assemble.installation import Installation
from dagi.cli.options import AsJson, Config, Profile, Yes, installation
from dagi.cli.output import as_json, fail, say, write
from dagi.cli.work import with_database
from dagi.errors import DagiError, Invalid
from dagi.observe.clock import SystemClock
from dagi.ports.dialogs import Exchange


def init(
    dao_name: Annotated[str | None, typer.Option("--dao-name", help="The name people see.")] = None,
    dao_id: Annotated[str | None, typer.Option("--dao-id", help="Its id; made of the name where left out.")] = None,
    admin: Annotated[str | None, typer.Option("--admin", help="The first admin's account, for example tg:12345.")] = None,
    about: Annotated[str | None, typer.Option("--about", help="What the DAO is, in a sentence or two: its first document.")] = None,
    yes: Yes = False,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Found your DAO: its name, its first admin, a key, a first document; then ask it what it is.

    What is there already stays as it is. What is not given as an option is asked; with --yes it is not.

    Example: dagi init --dao-name "Зелена Їжа" --admin tg:12345 --yes
    """
    of = installation(profile, config)
    wish = _wished(dao_name, dao_id, admin, about, ask=not yes and sys.stdin is not None and sys.stdin.isatty())
    made = with_database(of, lambda database: first_run(database, SystemClock(), wish))
    if not json:
        _show(wish, made)
    problem: DagiError | None = None
    exchange: Exchange | None = None
    try:
        exchange = asyncio.run(first_question(of, wish))
    except DagiError as error:
        problem = error
    if json:
        made_of = {"dao": made.dao, "admin": made.admin, "document": made.document, "key": made.key is not None}
        answer = None if exchange is None else {"question": exchange.message.prompt, "answer": exchange.text, "provider": exchange.provider}
        as_json({"dao_id": wish.dao_id, "admin": wish.admin, "made": made_of, "key": made.key, "answer": answer})
    elif exchange is not None:
        write(f"\n> {exchange.message.prompt}\n{exchange.text}\n", sys.stdout)
        say(f"— {exchange.provider} ({exchange.model})")
        _show_next(of, wish)
    if problem is not None:
        fail(problem)
        typer.echo(
            f"The DAO is there, but its first question was not answered. dagi doctor{of.choice.again()} tells what is missing.", err=True
        )
        raise typer.Exit(1)


def _wished(name: str | None, dao_id: str | None, admin: str | None, about: str | None, *, ask: bool) -> Wish:
    lacking = [option for option, value in (("--dao-name", name), ("--admin", admin)) if value is None]
    if lacking and not ask:
        raise Invalid(f"Give {' and '.join(lacking)}: nobody can be asked here.", field=lacking[0])
    name = name if name is not None else str(typer.prompt("The DAO's name"))
    suggested = short_name(name)
    if dao_id is None and ask:
        dao_id = str(typer.prompt("Its id", default=suggested or None))
    if not (dao_id or suggested):
        raise Invalid("No id can be made of this name. Give one: --dao-id.", field="dao_id")
    admin = admin if admin is not None else str(typer.prompt("Its first admin's account, for example tg:12345"))
    if about is None:
        about = str(typer.prompt("What it is, in a sentence or two (may stay empty)", default="", show_default=False)) if ask else ""
    return Wish(dao_id=dao_id or suggested, dao_name=name, admin=account(admin, "admin"), about=about)


def _show(wish: Wish, made: Made) -> None:
    def state(new: bool, word: str) -> str:  # noqa: FBT001 - reads as a clause
        return word if new else "was there already"

    say(f"DAO       {wish.dao_id}: {state(made.dao, 'founded')}")
    say(f"Admin     {wish.admin}: {state(made.admin, 'taken in')}")
    say(f"Document  {state(made.document, 'written; dagi dao facts add brings more')}")
    if made.key is None:
        say("Key       was made already and is shown only once; dagi key create makes another")
    else:
        say(f"Key       {made.key}")
        say("          (role admin, may speak for members; this is the only time it is shown)")
    if not made.anything:
        say("Nothing was changed: all of it was there already.")


def _show_next(of: Installation, wish: Wish) -> None:
    same = of.choice.again()
    development = of.loaded.settings.environment == "development"
    key = "" if development else "DAGI_KEY=<the key> "
    say(f"\nNext:\n  dagi serve{same}")
    say(f'  {key}dagi ask "…" --dao {wish.dao_id} --as {shlex.quote(wish.admin)}{same}        (in another terminal)')
    if development and of.loaded.settings.dao.default != wish.dao_id:
        say(f"With dao.default: {wish.dao_id} in the configuration a call without a key may leave --dao out.")
