"""Notebooks in the sandbox: executed, told cell by cell, stored; and hostile ones."""

import asyncio
import json
import os
import sys
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest

import dagi.targets.devtools.inside
from dagi.errors import Denied, Invalid, PayloadTooLarge
from dagi.message import Grant
from dagi.observe.clock import SystemClock
from dagi.targets.devtools.files.kit import FileTools
from dagi.targets.devtools.notebooks.forms import ExecuteNotebook, NotebookDone
from dagi.targets.devtools.notebooks.kit import Notebooks
from dagi.targets.devtools.runtime import found_runtime
from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting
from dagi.targets.devtools.sandbox.job import Bounds, Job, Place
from dagi.targets.devtools.tool import Call
from dagi.targets.devtools.workspaces.disk import DiskWorkspace
from dagi.targets.devtools.workspaces.store import DiskWorkspaces

pytestmark = pytest.mark.anyio
DAO = "greenfood-dao"
INSIDE = Path(dagi.targets.devtools.inside.__file__ or "").parent
BOUNDS = Bounds(wall_s=40, cpu_s=30, memory=512 << 20, processes=64, output=64 << 10, disk=16 << 20, files=500, file=8 << 20)


def notebook(*cells: str, **metadata: object) -> dict[str, object]:
    code = [{"cell_type": "code", "metadata": {}, "source": cell, "outputs": [], "execution_count": None} for cell in cells]
    return {"cells": code, "metadata": metadata, "nbformat": 4, "nbformat_minor": 4}


class House:
    """A workspace, and notebooks executed in it."""

    def __init__(self, workspace: DiskWorkspace, sandbox: Bubblewrap, kit: Notebooks) -> None:
        self.workspace = workspace
        self.sandbox = sandbox
        self.heard: list[Mapping[str, object]] = []
        self.hear: Callable[[Mapping[str, object]], None] = self.heard.append
        self._tool = kit.tools()[0]

    def write(self, name: str, content: object) -> None:
        path = self.workspace.tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False), encoding="utf-8")

    async def execute(self, *, rights: Sequence[str] = ("devtools.run", "devtools.write"), **params: object) -> NotebookDone:
        grant = Grant(dao_id=DAO, user_id="tg:12345", entitlements=frozenset(rights))
        call = Call(id="r", grant=grant, hear=self.hear)
        return await self._tool.work(call, msgspec.convert(params, ExecuteNotebook))


@pytest.fixture
async def house(tmp_path: Path) -> House:
    workspaces = DiskWorkspaces(tmp_path / "workspaces", SystemClock())
    await workspaces.open()
    workspace = await workspaces.create(DAO, "main")
    runtime = found_runtime(Path(f"{sys.prefix}-sandbox"))
    sandbox = Bubblewrap(Setting(python=runtime.environment, inside=INSIDE), SystemClock())
    return House(workspace, sandbox, Notebooks(sandbox, workspaces, FileTools(workspaces), bounds=BOUNDS))


def living(mark: str) -> list[int]:
    """The processes of this machine whose command line holds the mark."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if mark.encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


async def test_cells_are_told_with_their_outputs_and_the_executed_notebook_is_stored(house: House) -> None:
    cells = [
        "import votes\nprint('counting'); votes.count",
        "import matplotlib.pyplot as plt\nplt.plot([1, 2]);",
        "votes.fail()",
        "'never'",
    ]
    made = notebook(*cells)
    made["cells"] = [{"cell_type": "markdown", "metadata": {}, "source": "# Votes"}, *list(made["cells"])]  # pyright: ignore[reportArgumentType, reportCallIssue]
    house.write("analysis/votes.ipynb", made)
    house.write("analysis/votes.py", "count = 42\ndef fail(): raise ValueError('no quorum')")
    done = await house.execute(path="analysis/votes.ipynb")
    assert (done.outcome, done.summary) == ("error", "An exception in cell 3.")
    assert [(cell.index, cell.outcome) for cell in done.cells] == [(1, "ok"), (2, "ok"), (3, "error"), (4, "not_run")]
    printed, result = done.cells[0].outputs
    assert (printed.kind, printed.text, result.kind, result.text) == ("stdout", "counting\n", "result", "42")
    picture = done.cells[1].outputs[0]
    assert (picture.kind, picture.media_type) == ("display", "image/png")
    assert b64decode(picture.image).startswith(b"\x89PNG")
    failed = done.cells[2].outputs[0]
    assert (failed.kind, failed.ename, failed.evalue) == ("error", "ValueError", "no quorum")
    assert "raise ValueError" in failed.traceback
    assert "\x1b" not in failed.traceback
    assert [(event["index"], event["outcome"]) for event in house.heard if event["kind"] == "cell"] == [
        (1, "running"), (1, "ok"), (2, "running"), (2, "ok"), (3, "running"), (3, "error"),
    ]  # fmt: skip
    assert done.stored is not None
    assert done.stored.path == "analysis/votes.ipynb"
    stored = json.loads((house.workspace.tree / "analysis/votes.ipynb").read_text(encoding="utf-8"))
    assert [len(cell.get("outputs", ())) for cell in stored["cells"]] == [0, 2, 1, 1, 0]
    assert sorted(path.name for path in house.workspace.tree.rglob("*")) == ["analysis", "votes.ipynb", "votes.py"]
    check = "import nbformat; nbformat.validate(nbformat.read('analysis/votes.ipynb', nbformat.NO_CONVERT)); print('valid')"
    async with house.sandbox.run(Job(command=("python", "-c", check), places=(Place(source=house.workspace.tree),), bounds=BOUNDS)) as ran:
        assert ran.stdout == b"valid\n", ran.stderr


async def test_a_notebook_of_an_old_form_is_executed_past_its_errors_and_stored_where_that_was_asked_for(house: House) -> None:
    old = {
        "metadata": {"name": "old"},
        "nbformat": 3,
        "nbformat_minor": 0,
        "worksheets": [{"metadata": {}, "cells": [
            {"cell_type": "code", "collapsed": False, "input": ["1/0"], "language": "python", "metadata": {}, "outputs": []},
            {"cell_type": "code", "collapsed": False, "input": ["6 * 7"], "language": "python", "metadata": {}, "outputs": []},
        ]}],
    }  # fmt: skip
    done = await house.execute(notebook=old, store_as="new.ipynb", allow_errors=True)
    assert (done.outcome, [cell.outcome for cell in done.cells]) == ("error", ["error", "ok"])
    assert done.cells[1].outputs[0].text == "42"
    stored = json.loads((house.workspace.tree / "new.ipynb").read_text(encoding="utf-8"))
    assert (stored["nbformat"], len(stored["cells"])) == (4, 2)


async def test_a_loop_without_end_a_flood_and_a_dead_kernel_end_with_what_there_was_until_then(house: House) -> None:
    looping = await house.execute(
        notebook=notebook("'before'", "import time\nprint('waiting', flush=True)\nwhile True: time.sleep(1)"), cell_timeout_s=1
    )
    assert (looping.outcome, [cell.outcome for cell in looping.cells]) == ("timed_out", ["ok", "timed_out"])
    assert looping.cells[1].outputs[0].text == "waiting\n"
    assert looping.stored is None
    slow = await house.execute(
        notebook=notebook("import time\ntry:\n    while True: time.sleep(1)\nexcept KeyboardInterrupt:\n    while True: pass"), timeout_s=1
    )
    assert (slow.outcome, [cell.outcome for cell in slow.cells]) == ("timed_out", ["timed_out"])
    flooding = await house.execute(notebook=notebook("'before'", "while True: print('x' * 100000, flush=True)"))
    assert (flooding.outcome, [cell.outcome for cell in flooding.cells]) == ("output_limit", ["ok", "output_limit"])
    assert len(msgspec.json.encode(flooding)) < 1 << 20
    dying = await house.execute(notebook=notebook("'before'", "import os; os._exit(0)", "'after'"))
    assert (dying.outcome, [cell.outcome for cell in dying.cells]) == ("died", ["ok", "died", "not_run"])
    assert dying.cells[0].outputs[0].text == "'before'"


async def test_a_cell_that_stops_what_keeps_its_time_ends_with_its_time_all_the_same(house: House) -> None:
    cell = "import os, signal\nos.kill(os.getppid(), signal.SIGSTOP)\nwhile True: pass"
    # The sandbox's own bound is 15 s later, for kernels that start slowly: that time is not for cells.
    async with asyncio.timeout(14):
        done = await house.execute(notebook=notebook(cell, "'after'"), timeout_s=0.5)
    assert (done.outcome, [cell.outcome for cell in done.cells], done.summary) == (
        "timed_out",
        ["unfinished"],
        "Its time was over in cell 0.",
    )


async def test_what_has_no_place_in_a_notebook_is_left_out_and_no_text_is_told_as_a_picture(house: House) -> None:
    cells = [
        "from IPython.display import display\ndisplay({'text/plain': 5}, raw=True); print('said')",
        "display({'image/png': 'x\" onerror=\"alert(1)'}, raw=True)",
    ]
    done = await house.execute(notebook=notebook(*cells))
    assert (done.outcome, [[output.kind for output in cell.outputs] for cell in done.cells]) == ("ok", [["stdout"], ["display"]])
    shown = done.cells[1].outputs[0]
    assert (shown.image, shown.media_type, shown.left_out) == ("", "", "image/png")


async def test_magics_reach_nothing_and_leave_nothing_behind(house: House, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("the secret of the host", encoding="utf-8")
    mark = f"dagi-notebook-{os.getpid()}"
    cells = [
        f"!cat {canary} /etc/shadow /proc/1/environ",
        f"%%bash\nsetsid sh -c 'sleep 60; : {mark}' >/dev/null 2>&1 &\necho started",
        f"%%writefile {canary}\nowned",
        "%load_ext nothing_there",
    ]
    done = await house.execute(notebook=notebook(*cells), allow_errors=True)
    told = msgspec.json.encode(done).decode()
    assert done.cells[1].outcome == "ok"
    assert "No such file" in told
    assert "secret" not in told
    assert "root:" not in told
    assert canary.read_text(encoding="utf-8") == "the secret of the host"
    assert living(mark) == []
    assert list(house.workspace.tree.iterdir()) == []


@pytest.mark.parametrize(
    "trick",
    [
        "import os, signal; os.kill(os.getppid(), signal.SIGKILL)",
        "import os; os.mkdir('.dagi-executed.ipynb'); os.mkdir('.dagi-executed.ipynb/full')",
    ],
)
async def test_who_ends_or_blocks_what_executes_has_nothing_stored(house: House, trick: str) -> None:
    made = notebook("'before'", trick)
    house.write("mine.ipynb", made)
    done = await house.execute(path="mine.ipynb")
    assert (done.outcome, done.stored) == ("crashed", None)
    assert json.loads((house.workspace.tree / "mine.ipynb").read_text(encoding="utf-8")) == made


async def test_what_is_no_notebook_of_python_is_refused_with_the_reason(house: House) -> None:
    done = await house.execute(notebook=notebook("cat('hello')", kernelspec={"name": "ir", "language": "R", "display_name": "R"}))
    assert (done.outcome, done.summary) == ("refused", "It is a notebook of R; here is a kernel for Python alone.")
    done = await house.execute(notebook={"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [{"cell_type": "song"}]})
    assert done.outcome == "refused"
    assert done.summary.startswith("It is no valid notebook: ")
    for content, said in (
        ("{", "no JSON"),
        ("[]", "no notebook of format"),
        ('{"nbformat": 5}', "no notebook of format"),
        ("[" * 10**6, "no"),
    ):
        house.write("odd.ipynb", content)
        with pytest.raises(Invalid, match=said) as refused:
            await house.execute(path="odd.ipynb")
        assert refused.value.facts["field"] == "params.path"


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "params.path"),
        ({"path": "a.ipynb", "notebook": {}}, "params.path"),
        ({"path": "a.py"}, "params.path"),
        ({"notebook": {}, "store_as": "a.py"}, "params.store_as"),
        ({"path": "a.ipynb", "timeout_s": 41}, "params.timeout_s"),
        ({"path": "a.ipynb", "cell_timeout_s": 41}, "params.cell_timeout_s"),
        (
            {
                "notebook": {
                    "nbformat": 4,
                    "cells": [[[]]],
                    "metadata": "д",
                    "nbformat_minor": 4,
                    "worksheets": 1,
                    "x": 1,
                    "nbformat ": 9,
                    "deep": {},
                }
            },
            None,
        ),
    ],
)
async def test_what_is_asked_wrongly_is_refused_by_its_name(house: House, params: dict[str, object], field: str | None) -> None:
    if field is None:
        assert (await house.execute(**params)).outcome == "refused"
        return
    with pytest.raises(Invalid) as refused:
        await house.execute(**params)
    assert refused.value.facts["field"] == field


async def test_storing_needs_the_right_to_write(house: House) -> None:
    # Larger than what is read at once, and with characters of two bytes.
    house.write("mine.ipynb", notebook("1", note="ж" * 400_000))
    with pytest.raises(Denied):
        await house.execute(path="mine.ipynb", rights=["devtools.run"])
    done = await house.execute(path="mine.ipynb", store_as=None, rights=["devtools.run"])
    assert (done.outcome, done.stored) == ("ok", None)


async def test_a_notebook_that_somebody_changes_meanwhile_is_not_overwritten(house: House) -> None:
    house.write("mine.ipynb", notebook("1"))
    changed = notebook("2")
    house.hear = lambda event: house.write("mine.ipynb", changed) if event["kind"] == "start" else None
    done = await house.execute(path="mine.ipynb")
    assert (done.outcome, done.stored) == ("ok", None)
    assert done.not_stored.startswith("Somebody has changed the notebook meanwhile")
    assert json.loads((house.workspace.tree / "mine.ipynb").read_text(encoding="utf-8")) == changed
    done = await house.execute(path="mine.ipynb", store_as="../outside.ipynb")
    assert done.stored is None
    assert "does not leave the workspace" in done.not_stored
    assert not (house.workspace.tree.parent / "outside.ipynb").exists()


async def test_a_notebook_that_is_too_large_is_refused(house: House) -> None:
    house.write("large.ipynb", notebook("1", note="x" * (4 << 20)))
    with pytest.raises(PayloadTooLarge):
        await house.execute(path="large.ipynb")
    with pytest.raises(PayloadTooLarge):
        await house.execute(notebook=notebook("1", note="x" * (4 << 20)))
