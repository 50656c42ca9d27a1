"""`dagi workspace`: a DAO's workspaces, in which the developer tools work."""

import time
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import Annotated, TypeVar

import msgspec
import typer

from dagi.assemble.bench import Bench
from dagi.cli.bench import InDao, with_bench
from dagi.cli.options import AsJson, Config, Profile, Yes, installation
from dagi.cli.output import as_json, say, table
from dagi.errors import Invalid
from dagi.message import Grant
from dagi.ports.calls import Called, recording
from dagi.ports.workspaces import Wanted, WorkspaceInfo

T = TypeVar("T")
app = typer.Typer(help="Workspaces of a DAO: list, create, show, delete, name commands for test runs.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The workspace's name.")]
KILO = 1024


@app.command("list", epilog="Example: dagi workspace list --dao greenfood-dao")
def list_all(dao: InDao = None, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List a DAO's workspaces."""

    async def work(bench: Bench, grant: Grant) -> Sequence[WorkspaceInfo]:
        return await bench.room.list(grant.dao_id)

    found = with_bench(installation(profile, config), dao, work)
    if json:
        as_json(found)
        return
    rows = [(one.name, one.origin, one.files, _size(one.bytes), one.made_at, one.made_by) for one in found]
    empty = "The DAO has no workspaces yet. `dagi workspace create NAME` makes one."
    table(("name", "began with", "files", "size", "made", "by"), rows, empty=empty)


@app.command(epilog="Example: dagi workspace create site --template python --dao greenfood-dao")
def create(
    name: Name,
    dao: InDao = None,
    template: Annotated[str, typer.Option(help="What to copy into it; `dagi workspace templates` lists what there is.")] = "",
    git: Annotated[str, typer.Option(help="The address to clone it from; devtools.git.allowed says which may be.")] = "",
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Make a workspace: empty, from a template, or from a repository."""

    async def work(bench: Bench, grant: Grant) -> WorkspaceInfo:
        wanted = Wanted(dao_id=grant.dao_id, name=name, template=template, git=git, by=grant.user_id)
        return await _recorded(bench, grant, ("workspace.created", name, wanted), lambda: bench.room.create(wanted))

    _show(with_bench(installation(profile, config), dao, work), json=json)


@app.command(epilog="Example: dagi workspace templates")
def templates(dao: InDao = None, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """List what a workspace may begin with."""

    async def work(bench: Bench, grant: Grant) -> Sequence[str]:
        del grant
        return await bench.room.templates()

    found = with_bench(installation(profile, config), dao, work)
    if json:
        as_json(found)
    else:
        say("\n".join(found))


@app.command(epilog="Example: dagi workspace show site --dao greenfood-dao")
def show(name: Name, dao: InDao = None, profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Show what a workspace is and holds."""

    async def work(bench: Bench, grant: Grant) -> WorkspaceInfo:
        return await bench.room.show(grant.dao_id, name)

    _show(with_bench(installation(profile, config), dao, work), json=json)


@app.command(epilog="Example: dagi workspace delete site --dao greenfood-dao --yes")
def delete(name: Name, dao: InDao = None, profile: Profile = None, config: Config = None, yes: Yes = False) -> None:
    """Remove a workspace with all it holds."""
    if not yes:
        typer.confirm(f"Remove the workspace {name} with everything in it?", abort=True)

    async def work(bench: Bench, grant: Grant) -> None:
        await _recorded(bench, grant, ("workspace.deleted", name, None), lambda: bench.room.delete(grant.dao_id, name))

    with_bench(installation(profile, config), dao, work)
    say(f"{name} is removed.")


@app.command(epilog="Example: dagi workspace command site check make check --dao greenfood-dao")
def command(
    name: Name,
    command: Annotated[str, typer.Argument(help="The command's name, as `run_tests` is told it.")],
    argv: Annotated[list[str] | None, typer.Argument(help="The program and its arguments; none take the name away.")] = None,
    dao: InDao = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Name a command that `run_tests` may run."""
    words = argv or []

    async def work(bench: Bench, grant: Grant) -> WorkspaceInfo:
        set_it = bench.room.set_command
        what = ("workspace.command_set", name, [command, *words])
        return await _recorded(bench, grant, what, lambda: set_it(grant.dao_id, name, command, words))

    _show(with_bench(installation(profile, config), dao, work), json=json)


async def _recorded(bench: Bench, grant: Grant, what: tuple[str, str, object], work: Callable[[], Awaitable[T]]) -> T:
    """Do it, and have it in the audit before anybody is told. `what`: the action, the workspace, and what the digest is of.

    Raises:
        Invalid: bytes were typed that are no characters.
    """
    action, name, arguments = what
    try:
        written = msgspec.json.encode((name, arguments))
    except UnicodeEncodeError as error:
        raise Invalid("What was typed holds bytes that are no UTF-8.", field="name") from error
    call = Called(
        request_id=grant.decision_id,
        dao_id=grant.dao_id,
        user_id=grant.user_id,
        key_id="",
        action=action,
        workspace=name[:64],
        decision_id=grant.decision_id,
        digest=sha256(written).hexdigest(),
    )
    with recording(bench.calls, call, time.monotonic):
        result = await work()
    await bench.calls.saved()
    return result


def _show(info: WorkspaceInfo, *, json: bool) -> None:
    if json:
        as_json(info)
        return
    rows = [
        ("name", info.name),
        ("began with", info.origin),
        ("made", f"{info.made_at:%Y-%m-%d %H:%M} by {info.made_by}"),
        ("files", f"{info.files} of {info.max_files}"),
        ("size", f"{_size(info.bytes)} of {_size(info.max_bytes)}"),
        *((f"command {name}", " ".join(words)) for name, words in info.commands.items()),
    ]
    table(("workspace", ""), rows, empty="")


def _size(count: int) -> str:
    return f"{count} B" if count < KILO else f"{count / KILO:.1f} KiB" if count < KILO**2 else f"{count / KILO**2:.1f} MiB"
