"""`notebook_execute`: a notebook, executed with a kernel of its own in the sandbox, on a copy of the workspace."""

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

import msgspec

from dagi.errors import Conflict, Invalid, Missing, PayloadTooLarge, PreconditionFailed
from dagi.targets.devtools.copying import reading_until
from dagi.targets.devtools.notebooks.account import Account
from dagi.targets.devtools.notebooks.document import Code, Notebook, check_version, joined, read, written
from dagi.targets.devtools.notebooks.files import LARGEST, Content, Files
from dagi.targets.devtools.notebooks.forms import CellDone, ExecuteNotebook, NotebookDone, Outcome, Stored
from dagi.targets.devtools.notebooks.telling import Room
from dagi.targets.devtools.sandbox.job import REPORT_TIMES, TOOLS, WORKSPACE, Bounds, Ears, Ending, Finished, Job, Place, Sandbox
from dagi.targets.devtools.texts import decoded, limited
from dagi.targets.devtools.tool import Call, Kit, Tool
from dagi.targets.devtools.workspaces.workspace import Workspaces

# A notebook may put out more than a program may print: pictures.
_OUTPUTS: Final = 3 << 20
_PRINTED: Final = 8000
# For the kernel to start and the executed notebook to be written down, beside the time of its cells.
_AROUND_S: Final = 15.0
# Of it, for what remains to be done when the time of the cells is over.
_WRITTEN_S: Final = 2.0
_INPUT: Final = ("/tmp", "dagi-notebook.ipynb")  # noqa: S108 - of the sandbox
_OUTPUT: Final = ".dagi-executed.ipynb"
_OPEN: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Notebooks:
    """The kit.

    Args:
        files: the kit with fs_read and fs_write.
        bounds: the most that a run may take.
    """

    def __init__(self, sandbox: Sandbox, workspaces: Workspaces, files: Kit, *, bounds: Bounds | None = None) -> None:
        self._sandbox = sandbox
        self._workspaces = workspaces
        self._files = Files(files)
        self._bounds = bounds or Bounds()

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        """`notebook_execute`."""
        summary = "Execute a Jupyter notebook (Python) and tell each cell's outputs; the executed notebook is stored in the workspace."
        return (Tool(name="notebook_execute", summary=summary, takes=ExecuteNotebook, gives=NotebookDone, work=self._execute, runs=True),)

    async def _execute(self, call: Call, wanted: ExecuteNotebook) -> NotebookDone:
        limit_s = _checked(wanted, self._bounds)
        store_as = wanted.path if isinstance(wanted.store_as, msgspec.UnsetType) else wanted.store_as
        if store_as is not None:
            call.grant.require("devtools.write")
        workspace = await self._workspaces.find(call.grant.dao_id, wanted.workspace)
        source = await self._source(call, wanted)
        begun, account = asyncio.Event(), Account(limited(call.hear))

        def line(line: bytes) -> None:
            begun.set()
            account.line(line)

        def work() -> Awaitable[tuple[NotebookDone, Notebook | None]]:
            places = (Place(source=workspace.tree), Place(path=_INPUT[0], files={_INPUT[1]: source.content}))
            return self._ran(self._job(wanted, limit_s, places), line, account, limit_s)

        done, executed = await reading_until(begun, workspace, work)
        if store_as is None or executed is None:
            return done
        same = wanted.path is not None and PurePosixPath(store_as) == PurePosixPath(wanted.path)
        etag = source.etag if same else ""
        return await self._stored(call, wanted.workspace, store_as, done, Content(written(executed), etag))

    async def _source(self, call: Call, wanted: ExecuteNotebook) -> Content:
        if wanted.path is not None:
            source, field = await self._files.read(call, wanted.workspace, wanted.path), "params.path"
        else:
            try:
                source, field = Content(msgspec.json.encode(wanted.notebook), ""), "params.notebook"
            except (RecursionError, UnicodeEncodeError):
                raise Invalid("That notebook is nested too deeply, or its text is none.", field="params.notebook") from None
            if len(source.content) > LARGEST:
                raise PayloadTooLarge(f"A notebook has {LARGEST} bytes at most.", field=field, limit_bytes=LARGEST)
        check_version(source.content, field)
        return source

    def _job(self, wanted: ExecuteNotebook, limit_s: float, places: tuple[Place, ...]) -> Job:
        spec = {
            "directory": str(PurePosixPath(WORKSPACE, wanted.path or "").parent if wanted.path else WORKSPACE),
            "allow_errors": wanted.allow_errors,
            "cell_timeout_s": wanted.cell_timeout_s,
            "timeout_s": limit_s,
            "output_bytes": _OUTPUTS,
            "report_bytes": self._bounds.output * REPORT_TIMES,
        }
        return Job(
            command=("python", f"{TOOLS}/inside/dagi_notebook.py", msgspec.json.encode(spec).decode()),
            places=places,
            bounds=msgspec.structs.replace(self._bounds, wall_s=limit_s + _AROUND_S),
        )

    async def _ran(self, job: Job, hear: Callable[[bytes], None], account: Account, limit_s: float) -> tuple[NotebookDone, Notebook | None]:
        """Run it. What keeps the time of the cells runs beside them, where they can stop it; so that is watched from here as well."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        watch = asyncio.timeout(None)

        def line(line: bytes) -> None:
            hear(line)
            if account.running is not None and watch.when() is None:
                watch.reschedule(loop.time() + limit_s + _WRITTEN_S)

        try:
            async with watch, self._sandbox.run(job, Ears(report=line)) as finished:
                watch.reschedule(None)
                left = await asyncio.to_thread(_left, finished.root) if finished.ending == "exit" else None
        except TimeoutError:
            late = Finished(ending="time", status=None, stdout=b"", stderr=b"", cut=False, wall_s=loop.time() - began, root=-1)
            return _done(late, account, None, job.bounds), None
        executed = None if left is None else read(left)
        return _done(finished, account, executed, job.bounds), executed

    async def _stored(self, call: Call, workspace: str, path: str, done: NotebookDone, content: Content) -> NotebookDone:
        if len(content.content) > LARGEST:
            return msgspec.structs.replace(done, not_stored=f"With its outputs it is larger than {LARGEST} bytes.")
        try:
            etag = await self._files.write(call, workspace, path, content)
        except PreconditionFailed:
            return msgspec.structs.replace(done, not_stored="Somebody has changed the notebook meanwhile; name another place in store_as.")
        except (Invalid, Missing, Conflict, PayloadTooLarge) as error:
            return msgspec.structs.replace(done, not_stored=str(error))
        return msgspec.structs.replace(done, stored=Stored(path=path, etag=etag))


_STOPPED: Final[Mapping[Ending, Outcome]] = {
    "time": "timed_out",
    "memory": "out_of_memory",
    "output": "output_limit",
    "disk": "disk_limit",
    "gone": "crashed",
}


def _checked(wanted: ExecuteNotebook, bounds: Bounds) -> float:
    """The time for all cells, in seconds."""
    if (wanted.path is None) == (wanted.notebook is None):
        raise Invalid("Either params.path or params.notebook.", field="params.path")
    store_as = wanted.store_as
    for path, field in ((wanted.path, "params.path"), (None if store_as is msgspec.UNSET else store_as, "params.store_as")):
        if isinstance(path, str) and not path.endswith(".ipynb"):
            raise Invalid(f"{field} is the path of a notebook: it ends in .ipynb.", field=field)
    for value, field in ((wanted.timeout_s, "params.timeout_s"), (wanted.cell_timeout_s, "params.cell_timeout_s")):
        if value is not None and value > bounds.wall_s:
            raise Invalid(f"{field} can be {bounds.wall_s:g} at most here.", field=field, allowed=bounds.wall_s)
    return wanted.timeout_s or bounds.wall_s


def _left(root: int) -> bytes | None:
    """What lies where the executed notebook should be, if it is a file of reasonable size. In a thread."""
    try:
        opened = os.open(_OUTPUT, _OPEN, dir_fd=root)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(opened).st_mode):
            return None
        with os.fdopen(os.dup(opened), "rb") as file:
            content = file.read(2 * LARGEST + 1)
        return content if len(content) <= 2 * LARGEST else None
    finally:
        os.close(opened)


def _done(finished: Finished, account: Account, executed: Notebook | None, bounds: Bounds) -> NotebookDone:
    outcome = _STOPPED.get(finished.ending) or account.outcome or "crashed"
    if finished.ending == "exit" and outcome != "refused" and executed is None:
        outcome = "crashed"
    printed, _ = decoded(finished.stdout + finished.stderr, _PRINTED)
    cells = _cells(account, executed)
    return NotebookDone(
        outcome=outcome,
        summary=_sentence(outcome, account, cells, bounds),
        cells=cells,
        stored=None,
        not_stored="",
        printed=printed,
        wall_s=round(finished.wall_s, 3),
    )


def _cells(account: Account, executed: Notebook | None) -> list[CellDone]:
    room = Room()
    if executed is None:
        begun = [] if account.running is None else [account.running]
        codes = sorted([*account.ended, *begun])
    else:
        codes = [index for index, cell in enumerate(executed.cells) if isinstance(cell, Code) and joined(cell.source).strip()]
    cells: list[CellDone] = []
    for index in codes:
        outputs, more = ([], 0) if executed is None else room.outputs(executed, index)
        known = account.ended.get(index)
        outcome = known[0] if known else "unfinished" if index == account.running else "not_run"
        cells.append(CellDone(index=index, outcome=outcome, seconds=known[1] if known else 0.0, outputs=outputs, outputs_left_out=more))
    return cells


def _sentence(outcome: Outcome, account: Account, cells: list[CellDone], bounds: Bounds) -> str:
    last = next((cell.index for cell in reversed(cells) if cell.outcome not in {"ok", "not_run"}), None)
    where = "" if last is None else f" in cell {last}"
    sentences: dict[Outcome, str] = {
        "ok": "All cells were executed." if cells else "There is no cell of code.",
        "error": f"An exception{where}.",
        "timed_out": f"Its time was over{where}.",
        "died": f"The kernel died{where}.",
        "refused": account.refused or "It was refused.",
        "out_of_memory": f"Stopped for using more than {bounds.memory >> 20} MiB of memory{where}.",
        "output_limit": f"Stopped for putting out too much{where}.",
        "disk_limit": f"Stopped for writing more than {bounds.disk >> 20} MiB or {bounds.files} files{where}.",
        "crashed": f"It ended{where} without having come to its end.",
    }
    return sentences[outcome]
