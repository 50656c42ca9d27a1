"""How long commands and the whole stack take to start, beside an empty Python program."""

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Sequence
from statistics import median

from facts import documents
from figures import Plan, Row
from stack import install, serving, twenty_rules
from timing import paired_ratio

EMPTY = ("-c", "pass")
COMMANDS = (("import dagi", ("-c", "import dagi")), ("dagi --help", ("-m", "dagi", "--help")))


def rows(plan: Plan) -> list[Row]:
    """One row for each command, and two for the stack."""
    turns = plan.pick(9, 1)
    commands = [lambda arguments=arguments: _run(arguments) for arguments in (EMPTY, *(command for _, command in COMMANDS))]
    commands += [_serving_with(plan, embedder=False), _serving_with(plan, embedder=True)]
    names = ("python -c pass", *(name for name, _ in COMMANDS), "dagi serve to ready, embedder off", "dagi serve to ready, embedder on")
    measured = _in_turns(commands, turns)
    return [
        Row(
            what=f"start: {name}",
            main=f"{median(seconds) * 1000:.0f} ms",
            ratio="" if name == names[0] else f"{paired_ratio(seconds, measured[0]):.1f} × python -c pass",
            more=f"{min(seconds) * 1000:.0f} to {max(seconds) * 1000:.0f} ms in {turns} starts",
            numbers={"seconds": seconds},
        )
        for name, seconds in zip(names, measured, strict=True)
    ]


def _in_turns(commands: Sequence[Callable[[], float]], turns: int) -> list[list[float]]:
    for command in commands:
        command()
    measured: list[list[float]] = [[] for _ in commands]
    for _ in range(turns):
        for place, command in enumerate(commands):
            measured[place].append(command())
    return measured


def _run(arguments: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def _serving_with(plan: Plan, *, embedder: bool) -> Callable[[], float]:
    """Starts an installation that has its database, to the first answer of /ready after all of its processes said so."""
    directory = plan.work / f"start-{'with' if embedder else 'without'}-embedder"
    installation = install(directory, upstream="http://127.0.0.1:9", rules=twenty_rules(), embedder=embedder, documents=documents(20))

    def start() -> float:
        began = time.perf_counter()
        with serving(installation) as stack:
            with urllib.request.urlopen(f"{stack.url}/ready", timeout=10) as answer:  # noqa: S310 - our own loopback address
                answer.read()
            return time.perf_counter() - began

    return start
