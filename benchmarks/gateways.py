"""Who is measured by the OpenAI face's benchmarks: this stack with all it does, nginx as a floor, other gateways, and nobody between."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import msgspec
import psutil

import peers
from figures import Row, Skipped, short
from nginx import reverse_proxy
from processes import Program, rss_mib, tree
from stack import MEMBER, install, serving, twenty_rules
from timing import paired_ratio

PATH = "/v1/chat/completions"
DIRECT, NGINX, DAGI = "nobody between", "nginx, plain proxy", "/v1, context off"
# Limits that count every request and refuse none.
_QUOTA = {"rpm": 1_000_000, "tokens_per_day": 10**15}
PEERS: tuple[Callable[[Path, int, str], AbstractContextManager[peers.Peer]], ...] = (peers.portkey, peers.litellm)


class Gateway(msgspec.Struct, frozen=True, kw_only=True):
    """One of them, running.

    Attributes:
        program: None where nobody is between.
    """

    what: str
    url: str
    key: str = "none"
    headers: Mapping[str, str] = {}
    program: Program | None = None

    @property
    def processes(self) -> Sequence[psutil.Process]:
        """Whose CPU time and memory count now."""
        return () if self.program is None else tree(self.program.pid)

    @property
    def rss_mib(self) -> float:
        """Resident memory of all its processes now."""
        return rss_mib(self.processes)


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """All that run, in the order in which they take turns, and a row for each of those that do not."""

    gateways: Sequence[Gateway]
    absent: list[Row]


def question(*, stream: bool) -> str:
    """A body as OpenAI's clients send it, for the member of the DAO."""
    body: dict[str, object] = {
        "model": "dagi-stack",
        "messages": [
            {"role": "system", "content": "You answer in one paragraph."},
            {"role": "user", "content": "Привіт! Що це за DAO і які тут проєкти?"},
        ],
        "temperature": 0.7,
        "max_tokens": 200,
        "user": MEMBER,
    }
    return msgspec.json.encode({**body, "stream": True} if stream else body).decode()


@contextmanager
def running(work: Path, core: int, upstream: str, *, streams: bool) -> Generator[Field]:
    """Start everybody on that core before the same upstream."""
    work.mkdir()
    port = int(upstream.rpartition(":")[2])
    found, absent = [Gateway(what=DIRECT, url=upstream + PATH)], list[Row]()
    with ExitStack() as stack:
        proxy = stack.enter_context(reverse_proxy(work, core, port, streams=streams))
        found.append(Gateway(what=NGINX, url=proxy.url + PATH, program=proxy.program))
        found.append(stack.enter_context(dagi(work / "dagi", core, upstream)))
        for peer in PEERS:
            try:
                other = stack.enter_context(peer(work / peer.__name__, core, upstream))
            except Skipped as why:
                absent.append(Row(what=peer.__name__, main="skipped", more=str(why)))
            else:
                found.append(Gateway(what=other.what, url=other.url, key=other.key, headers=other.headers, program=other.program))
        yield Field(gateways=found, absent=absent)


@contextmanager
def dagi(directory: Path, core: int, upstream: str, *, places: int = 256) -> Generator[Gateway]:
    """This stack as a production installation has it: a key that speaks for a member, twenty rules, limits of key, user and DAO, the log,
    the metrics, every exchange recorded; no facts and no history added.
    """
    installation = install(directory, upstream=upstream, rules=twenty_rules(), embedder=False, places=places)
    installation.configure(limits={"key": _QUOTA, "user": _QUOTA, "dao": _QUOTA})
    with serving(installation, core=core) as stack:
        yield Gateway(what=DAGI, url=stack.url + PATH, key=installation.key, program=stack.program)


def per_core(name: str, cpu: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """How many times as much a core does of it with this one as with each other: the ratio of the CPU time of each round, its median."""
    return {other: paired_ratio(theirs, cpu[name]) for other, theirs in cpu.items() if other not in {name, DIRECT}}


def told(name: str, ratios: Mapping[str, float]) -> str:
    """The ratios that are compared between runs: this stack beside everybody, the others beside nginx."""
    shown = ratios if name == DAGI else {other: ratio for other, ratio in ratios.items() if other == NGINX}
    return ", ".join(f"{short(ratio)} × {other.partition(',')[0]}" for other, ratio in shown.items())
