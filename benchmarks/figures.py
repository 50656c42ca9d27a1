"""What a benchmark gives back: rows of one table, each with all its numbers for the JSON file."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    Attributes:
        main: the number to compare between runs, with its unit.
        ratio: the same beside what was measured with it, in the same run.
        numbers: everything that was measured, unrounded.
    """

    what: str
    main: str
    ratio: str = ""
    p50: str = ""
    p99: str = ""
    more: str = ""
    numbers: Mapping[str, object] = {}


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How much to measure.

    Attributes:
        quick: a smoke run: everything runs once, the figures mean little.
        rounds: how often measurements that are compared take turns.
        work: a directory for databases, configurations and logs; removed at the end.
    """

    quick: bool
    rounds: int
    work: Path

    def pick(self, full: int, quick: int) -> int:
        """The first number, or in a quick run the second."""
        return quick if self.quick else full


class Skipped(Exception):
    """The benchmark cannot run here; says why."""


class Spread(msgspec.Struct, frozen=True):
    """A set of measurements: its middle and its slow end."""

    p50: float
    p99: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least two values."""
        return cls(median(values), quantiles(values, n=100, method="inclusive")[98], len(values))


def short(number: float) -> str:
    """Three digits that matter."""
    if number >= 1000:
        return f"{number:,.0f}"
    return f"{number:.3g}" if number < 100 else f"{number:.0f}"


def printed(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table that is also readable on a terminal."""
    head = ("what", "main number", "ratio", "p50", "p99", "more")
    lines = [head, *((row.what, row.main, row.ratio, row.p50, row.p99, row.more) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    ruled = [lines[0], tuple("-" * width for width in widths), *lines[1:]]
    return "\n".join("| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in ruled)
