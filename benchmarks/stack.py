"""A real installation of the stack: configured, filled and served for a benchmark."""

import asyncio
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import yaml

from dagi.knowledge.ingest import Ingest
from dagi.observe.clock import SystemClock
from dagi.stores.daos import Daos
from dagi.stores.database import FILE_NAME, Database
from dagi.stores.documents import SqlDocuments
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from dagi.stores.postgres import Address
from dagi.stores.upgrade import upgrade
from processes import Program, tree

DAO = "greenfood-dao"
MEMBER = "tg:12345"
PATIENCE_S = 60.0


class Installation(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration file and a database with one DAO, one member and one key that may speak for members."""

    directory: Path
    config: Path
    key: str
    place: Path | Address

    @property
    def data_dir(self) -> Path:
        """Where its files are."""
        return self.directory / "data"

    @property
    def database(self) -> Database:
        """A connection of our own to its database."""
        return Database(self.place)

    def configure(self, **sections: object) -> None:
        """Add sections to its configuration file, for its next start."""
        settings = yaml.safe_load(self.config.read_text())
        self.config.write_text(yaml.safe_dump({**settings, **sections}, sort_keys=False, allow_unicode=True))


class Serving(msgspec.Struct, frozen=True, kw_only=True):
    """A running stack."""

    url: str
    program: Program

    def process(self, name: str) -> psutil.Process:
        """The child process of that name: `front` or `embedder`."""
        for process in tree(self.program.pid):
            if f'"name":"{name}"' in " ".join(process.cmdline()):
                return process
        raise RuntimeError(f"the stack has no process {name!r}")


def install(  # noqa: PLR0913 - what a benchmark configures
    directory: Path,
    *,
    upstream: str,
    rules: Sequence[Mapping[str, object]],
    embedder: bool,
    documents: Mapping[str, str] | None = None,
    places: int = 256,
    server: Address | None = None,
) -> Installation:
    """Make an installation for production whose only model is at the upstream's URL.

    Args:
        places: how many the model answers at once; by default more than a load has connections, so that the queue is not measured.
        server: an empty database of PostgreSQL; a file of its own where left out.
    """
    directory.mkdir()
    data_dir = directory / "data"
    provider = {
        "name": "scripted",
        "type": "openai_compatible",
        "config": {"base_url": f"{upstream}/v1", "model": "scripted", "max_concurrent": places},
    }
    settings: dict[str, object] = {
        "version": "0.3.0",
        "environment": "production",
        "data_dir": str(data_dir),
        "knowledge": {"embedder": embedder},
        "llm_providers": [provider],
        "routing_rules": [dict(rule) for rule in rules],
    }
    if server is not None:
        settings["database"] = {"url": server.url}
    place = server or data_dir / FILE_NAME
    config = directory / "dagi.yml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    key = asyncio.run(_fill(Database(place), documents or {}))
    return Installation(directory=directory, config=config, key=key, place=place)


async def _fill(database: Database, documents: Mapping[str, str]) -> str:
    clock = SystemClock()
    try:
        await upgrade(database)
        await Daos(database, clock).create(DAO, "GreenFood DAO")
        await MemberAdmin(database, clock).create(DAO, MEMBER, ["member"], name="Daryna")
        ingest = Ingest(SqlDocuments(database, clock.now))
        for name, text in documents.items():
            await ingest.add(DAO, name, text.encode())
        return (await Keys(database, clock).create(DAO, "admin", label="benchmark", act_as=True)).key
    finally:
        await database.close()


def twenty_rules() -> list[dict[str, object]]:
    """Twenty rules as a shared gateway has them; a plain question of our member meets the last one."""
    rules: list[dict[str, object]] = [
        {"name": f"rule_{number}", "priority": number, "conditions": _elsewhere(number), "use_provider": "scripted", "context": False}
        for number in range(19)
    ]
    rules.append({"name": "last", "priority": 100, "conditions": {"mode": "chat"}, "use_provider": "scripted", "context": False})
    return rules


def _elsewhere(number: int) -> dict[str, object]:
    """Conditions that our member's question does not meet."""
    kinds: tuple[dict[str, object], ...] = (
        {"dao_id": f"other-dao-{number}"},
        {"agent": f"agent-{number}"},
        {"metadata": {"team": f"team-{number}"}},
        {"prompt_matches": rf"(?i)(invoice|рахунок) {number}$"},
    )
    return {"mode": "chat", **kinds[number % len(kinds)]}


def question(prompt: str, **metadata: str) -> str:
    """A body of POST /route, as a bot gateway sends it for the member."""
    sender = {"dao_id": DAO, "user_id": MEMBER, "source": "telegram", "session_id": f"{MEMBER}:{DAO}"}
    return msgspec.json.encode({"prompt": prompt, "mode": "chat", "metadata": {**sender, **metadata}}).decode()


@contextmanager
def serving(installation: Installation, *, core: int | None = None) -> Generator[Serving]:
    """Run `dagi serve` until the context is left.

    Raises:
        RuntimeError: it did not start.
    """
    told = installation.data_dir / "run" / "serve.json"
    command = (sys.executable, "-m", "dagi", "serve", "--config", str(installation.config), "--port", "0")
    with Program(command, installation.directory / "serve.log", core=core) as program:
        until = time.monotonic() + PATIENCE_S
        while not told.exists():
            program.check()
            if time.monotonic() > until:
                raise RuntimeError(f"dagi serve was not ready after {PATIENCE_S:g} s")
            time.sleep(0.005)
        yield Serving(url=msgspec.json.decode(told.read_bytes())["url"], program=program)
