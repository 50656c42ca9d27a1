"""How commands print: tables for people, JSON for programs, errors with an exit status that means something."""

import re
import shutil
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final, TextIO

import msgspec
import typer
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dagi.errors import DagiError, Invalid

EXIT_STATUSES: Final[Mapping[str, int]] = {
    "VALIDATION_ERROR": 2,
    "UNAUTHENTICATED": 3,
    "RBAC_PERMISSION_DENIED": 3,
    "DAO_SUSPENDED": 3,
    "NOT_FOUND": 4,
    "UNKNOWN_MODEL": 4,
    "UNKNOWN_TOOL": 4,
    "NO_ROUTE": 4,
    "CONFLICT": 5,
    "GONE": 5,
    "PRECONDITION_FAILED": 5,
    "NOT_CONFIGURED": 78,
    "SANDBOX_UNAVAILABLE": 78,
}

# Everything that steers a terminal instead of being read, except line breaks and tabs.
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")

_UNBOUNDED: Final = 100_000
_GAP: Final = 2


def console() -> Console:
    """The terminal, or whatever stdout is."""
    return Console(highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """One line for people."""
    typer.echo(text)


def write(text: str, stream: TextIO) -> None:
    """Text of others, at once. A terminal is not given what would steer it; a file or a pipe gets every character."""
    stream.write(_CONTROLS.sub("", text) if stream.isatty() else text)
    stream.flush()


def as_json(value: object) -> None:
    """One JSON document for programs."""
    # As bytes: JSON is UTF-8, whatever the terminal is.
    typer.echo(msgspec.json.format(msgspec.json.encode(value), indent=2))


def table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str) -> None:
    """A table, or the sentence that says why there is none.

    Nothing in it is ever cut off. In a file or a pipe each row is one line; in a terminal that is too narrow for the words of a row, a row
    is a paragraph with a line for each column.
    """
    if not rows:
        say(empty)
        return
    # A terminal, or what COLUMNS says; there is no edge otherwise.
    room = shutil.get_terminal_size((_UNBOUNDED, 24)).columns
    cells = [[_CONTROLS.sub("", _cell(value)) for value in row] for row in rows]
    widths = _widths([[column, *(row[index] for row in cells)] for index, column in enumerate(columns)], room)
    if widths is None:
        _paragraphs(columns, cells)
        return
    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for column, width in zip(columns, widths, strict=True):
        shown.add_column(column, width=width, overflow="fold")
    for row in cells:
        # As Text, because square brackets in a plain str are markup to rich.
        shown.add_row(*(Text(cell) for cell in row))
    Console(highlight=False, width=room).print(shown)


def _widths(columns: Sequence[Sequence[str]], room: int) -> Sequence[int] | None:
    """How many cells wide each column is, so that no word is broken; None where there is no room for that."""
    most = [max(cell_len(line) for cell in column for line in cell.splitlines() or [""]) for column in columns]
    least = [max(cell_len(word) for cell in column for word in cell.split() or [""]) for column in columns]
    # The first one names the row, for the next command: it stays on its line, unless it is a list.
    if not any(", " in cell for cell in columns[0]):
        least[0] = most[0]
    spare = room - _GAP * (len(columns) - 1) - sum(least)
    if spare < 0:
        return None
    wanted = sum(most) - sum(least)
    if wanted <= spare:
        return most
    return [low + spare * (high - low) // wanted for low, high in zip(least, most, strict=True)]


def _paragraphs(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    name = max(cell_len(column) for column in columns)
    told = [
        "\n".join(f"{column}{' ' * (name - cell_len(column) + _GAP)}{cell}".rstrip() for column, cell in zip(columns, row, strict=True))
        for row in rows
    ]
    say("\n\n".join(told))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, tuple | list):
        return ", ".join(str(item) for item in value)
    return "" if value is None else str(value)


def standard_input(most_bytes: int) -> bytes:
    """What stands on standard input, up to one byte more than may be.

    Raises:
        Invalid: standard input is closed.
    """
    if sys.stdin is None:
        raise Invalid("There is nothing on standard input.", field="-")
    return sys.stdin.buffer.read(most_bytes + 1)


def fail(error: DagiError) -> int:
    """Tell the error on stderr and return the exit status."""
    allowed = error.facts.get("allowed")
    hint = f"\nKnown: {', '.join(str(item) for item in allowed)}" if isinstance(allowed, list) and allowed else ""
    write(f"{error.message}{hint}\n", sys.stderr)
    return EXIT_STATUSES.get(error.code, 1)


@contextmanager
def opened_output(out: Path | None) -> Generator[BinaryIO]:
    """Standard output; or a file that only its owner may read, there as a whole or not at all."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    draft = out.with_name(f".{out.name}.draft")
    try:
        draft.unlink(missing_ok=True)
        draft.touch(mode=0o600)
        with draft.open("wb") as file:
            yield file
        draft.replace(out)
    except OSError as error:
        raise Invalid(f"{out} cannot be written: {error.strerror}.", field="out") from error
    finally:
        draft.unlink(missing_ok=True)
