"""Executes the notebook that lies at INPUT in a kernel of its own, and leaves the executed one at OUTPUT.

Its one argument is JSON: directory, allow_errors, cell_timeout_s, timeout_s, output_bytes, report_bytes. Lines it tells:

    {"kind":"start","count":5}                                 first of all: how many cells of code there are
    {"kind":"begin","index":2}                                 of the cells, as they stand in the notebook
    {"kind":"cell","index":2,"outcome":"ok","seconds":0.1}     ok, error, timed_out, died, output_limit
    {"kind":"refused","message":"…"}                           it is no notebook that can be executed here
    {"kind":"finish","outcome":"ok"}                           last of all: a run without it did not come to its end
"""

# nbclient and its like are in the sandbox's environment alone, so their types are not known here.
# pyright: basic, reportMissingImports=false

import asyncio
import json
import os
import sys
import time
from pathlib import Path
from typing import TypedDict

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

import dagi_home
from dagi_reporting import Reporter, flush

INPUT = "/tmp/dagi-notebook.ipynb"
OUTPUT = "/workspace/.dagi-executed.ipynb"
CONNECTION = "/tmp/dagi-kernel.json"
MESSAGE = 1500
PYTHON = {"python", "python3", "ipython", ""}


class Spec(TypedDict):
    """What is to be done."""

    directory: str
    allow_errors: bool
    cell_timeout_s: float | None
    timeout_s: float
    output_bytes: int
    report_bytes: int


class Refused(Exception):
    """It is no notebook that can be executed here."""


def read_notebook() -> "nbformat.NotebookNode":
    """The notebook, in the newest form.

    Raises:
        Refused: it is none, or not one of Python.
    """
    try:
        notebook = nbformat.read(INPUT, as_version=4)
        notebook = nbformat.v4.upgrade(notebook)
        _, notebook = nbformat.validator.normalize(notebook)
        nbformat.validate(notebook)
    except RecursionError:
        raise Refused("It is nested too deeply.") from None
    # nbformat's conversions of old forms fail in ways of their own where a notebook is odd; all of them mean the same.
    except (nbformat.ValidationError, ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise Refused(f"It is no valid notebook: {lines[0]}") from None
    metadata = notebook.metadata
    language = metadata.get("kernelspec", {}).get("language") or metadata.get("language_info", {}).get("name") or ""
    if str(language).lower() not in PYTHON:
        raise Refused(f"It is a notebook of {language}; here is a kernel for Python alone.")
    return notebook


class Client(NotebookClient):
    """nbclient, with an end to what a notebook may put out."""

    left = 0
    flooded: "asyncio.Future[None]"

    def process_message(self, message: dict, cell: object, index: int) -> object:
        """A message of the kernel: what it would add to the notebook is counted first."""
        self.left -= len(json.dumps(message["content"], default=str))
        if self.left >= 0:
            try:
                return super().process_message(message, cell, index)
            except nbformat.ValidationError:
                # It shows what has no place in a notebook; the other cells are not to suffer for it.
                return None
        if not self.flooded.done():
            self.flooded.set_result(None)
        return None


async def execute_cell(client: Client, cell: "nbformat.NotebookNode", index: int, left_s: float) -> str:
    """One cell of code; its outcome. Where it does not come to its end it is left as it is: nothing is executed after it."""
    executing = asyncio.ensure_future(client.async_execute_cell(cell, index))
    await asyncio.wait((executing, client.flooded), timeout=max(left_s, 0), return_when=asyncio.FIRST_COMPLETED)
    if client.flooded.done():
        return "output_limit"
    if not executing.done():
        return "timed_out"
    try:
        executing.result()
    except CellExecutionError:
        return "error"
    except CellTimeoutError:
        return "timed_out"
    except DeadKernelError:
        return "died"
    return "error" if any(output.output_type == "error" for output in cell.outputs) else "ok"


async def execute(client: Client, report: Reporter, spec: Spec) -> str:
    """All cells, as far as it goes; the outcome of all."""
    outcome, until = "ok", time.monotonic() + spec["timeout_s"]
    for index, cell in enumerate(client.nb.cells):
        if cell.cell_type != "code" or not cell.source.strip():
            continue
        report.tell("begin", index=index)
        began = time.monotonic()
        done = await execute_cell(client, cell, index, until - began)
        report.tell("cell", index=index, outcome=done, seconds=round(time.monotonic() - began, 4))
        wanted = "raises-exception" in cell.metadata.get("tags", [])
        if done == "error" and (wanted or spec["allow_errors"]):
            outcome = outcome if wanted else "error"
        elif done != "ok":
            return done
    return outcome


def write_notebook(notebook: "nbformat.NotebookNode") -> None:
    """Leave the notebook, as it was executed."""
    # A kernel may have put something else in that place.
    Path(OUTPUT).unlink(missing_ok=True)
    opened = os.open(OUTPUT, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with os.fdopen(opened, "w", encoding="utf-8", errors="replace") as file:
        file.write(nbformat.writes(notebook))


async def run(spec: Spec, report: Reporter) -> str:
    """Execute the notebook and write it down; the outcome."""
    notebook = read_notebook()
    report.insist("start", count=sum(cell.cell_type == "code" for cell in notebook.cells))
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    manager = AsyncKernelManager(kernel_name="python3", transport="ipc", connection_file=CONNECTION)
    client = Client(notebook, km=manager, timeout=spec["cell_timeout_s"], allow_errors=spec["allow_errors"], store_widget_state=False)
    client.left, client.flooded = spec["output_bytes"], asyncio.get_running_loop().create_future()
    try:
        await client.async_start_new_kernel(cwd=spec["directory"])
        await client.async_start_new_kernel_client()
    except (RuntimeError, DeadKernelError):
        # It did not come to life.
        return "died"
    outcome = await execute(client, report, spec)
    write_notebook(notebook)
    return outcome


async def executed(spec: Spec, report: Reporter) -> None:
    """Run it, and end at once: whatever the kernel still does ends with the sandbox."""
    try:
        outcome = await run(spec, report)
    except Refused as refused:
        report.insist("refused", message=report.text(str(refused), MESSAGE))
        outcome = "refused"
    flush()
    report.insist("finish", outcome=outcome)
    os._exit(0)


def main() -> None:
    """Run it."""
    spec: Spec = json.loads(sys.argv[1])
    report = Reporter(spec["report_bytes"])
    dagi_home.furnish()
    asyncio.run(executed(spec, report))


if __name__ == "__main__":
    main()
