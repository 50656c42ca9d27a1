"""`dagi dao facts`: what a DAO wrote about itself."""

from pathlib import Path
from typing import Annotated

import typer

from dagi.assemble.installation import Installation
from dagi.cli.options import AsJson, Config, Profile, Yes, installation
from dagi.cli.output import as_json, say, standard_input, table
from dagi.cli.work import with_database
from dagi.errors import Invalid, Missing
from dagi.knowledge.ingest import MAX_BYTES, Added, Ingest
from dagi.observe.clock import SystemClock
from dagi.ports.documents import Listed
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.documents import SqlDocuments

app = typer.Typer(help="A DAO's own documents: add, list, replace, remove.", no_args_is_help=True)
InDao = Annotated[str, typer.Option("--dao", help="The DAO's id.")]
Name = Annotated[str | None, typer.Option(help="The document's name; the file's own where left out.")]
File = Annotated[str, typer.Argument(help="A Markdown file, or - for standard input.")]


@app.command(epilog="Example: dagi dao facts add about.md --dao greenfood-dao")
def add(file: File, dao: InDao, name: Name = None, profile: Profile = None, config: Config = None) -> None:
    """Add a document, or replace the one of the same name."""
    content, found_name = _read(file)
    _put(installation(profile, config), dao, name or found_name, content, must_exist=False)


@app.command(epilog="Example: dagi dao facts replace about-2026.md --name about.md --dao greenfood-dao")
def replace(file: File, dao: InDao, name: Name = None, profile: Profile = None, config: Config = None) -> None:
    """Replace a document that is there already."""
    content, found_name = _read(file)
    _put(installation(profile, config), dao, name or found_name, content, must_exist=True)


def _put(of: Installation, dao: str, name: str, content: bytes, *, must_exist: bool) -> None:
    async def put(database: Database) -> Added:
        documents = SqlDocuments(database, SystemClock().now)
        if must_exist and name not in {document.name for document in await _listed(database, dao)}:
            raise Missing(f"{dao} has no document {name!r}. `dagi dao facts list` shows those it has; `add` adds one.", name=name)
        return await Ingest(documents).add(dao, name, content)

    added = with_database(of, put)
    say(f"{added.name}: {f'{added.passages} facts can be found now' if added.changed else 'it has not changed'}.")


async def _listed(database: Database, dao: str) -> tuple[Listed, ...]:
    await Daos(database, SystemClock()).show(dao)
    return await SqlDocuments(database, SystemClock().now).list(dao)


def _read(file: str) -> tuple[bytes, str]:
    if file == "-":
        return standard_input(MAX_BYTES), "stdin.md"
    path = Path(file)
    try:
        with path.open("rb") as opened:
            return opened.read(MAX_BYTES + 1), path.name
    except OSError as error:
        raise Invalid(f"{file} cannot be read: {error.strerror}.", field="file") from error


@app.command("list", epilog="Example: dagi dao facts list --dao greenfood-dao")
def list_all(dao: InDao, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List a DAO's documents."""
    documents = with_database(installation(profile, config), lambda database: _listed(database, dao))
    if json:
        as_json(documents)
        return
    rows = [(document.name, document.passages, document.size_bytes, document.updated_at) for document in documents]
    table(("name", "facts", "bytes", "updated"), rows, empty="The DAO has no documents yet. `dagi dao facts add FILE` adds one.")


@app.command(epilog="Example: dagi dao facts remove about.md --dao greenfood-dao --yes")
def remove(
    name: Annotated[str, typer.Argument(help="The document's name.")],
    dao: InDao,
    profile: Profile = None,
    config: Config = None,
    yes: Yes = False,
) -> None:
    """Remove a document with all its facts."""
    if not yes:
        typer.confirm(f"Remove {name} from {dao}?", abort=True)
    with_database(installation(profile, config), lambda database: SqlDocuments(database, SystemClock().now).remove(dao, name))
    say(f"{name} is removed.")
