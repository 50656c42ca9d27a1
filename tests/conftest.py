"""What every test may lean on: a whole stack in this process, over real HTTP, SQLite and a scripted model server."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import hypothesis
import pytest
import yaml
from sqlalchemy import text

from dagi.assemble.demo import seed_demo
from dagi.assemble.devtools import opened_devtools, serving_devtools
from dagi.assemble.front import Front, opened_front, serving
from dagi.assemble.installation import Choice, Installation
from dagi.assemble.services import DEVTOOLS, usual_services
from dagi.chain.rpc import Node, RpcChain
from dagi.outbound import Client
from dagi.stores.database import FILE_NAME, Database
from dagi.stores.keys import Keys
from dagi.stores.postgres import Address
from dagi.stores.upgrade import upgrade
from dagi.testing.clock import FakeClock
from dagi.testing.local_chain import CHAIN_ID, LocalChain, local_chain
from dagi.testing.postgres import PostgresServer
from dagi.testing.upstream import Upstream

DAO = "greenfood-dao"
# No test measures time, hypothesis's own limit for an example included.
hypothesis.settings.register_profile("dagi", deadline=None)
hypothesis.settings.load_profile("dagi")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Tests run on asyncio, as the stack does."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A .env or config/profiles of whoever runs the tests must not reach them.
    monkeypatch.chdir(tmp_path)
    for name in ("DAGI_KEY", "DEEPSEEK_API_KEY", "OPENAI_API_KEY", "RATE_LIMIT_RPM"):
        monkeypatch.delenv(name, raising=False)


class Outside:
    """Reads a database from an event loop of its own, so that whoever waits for something in it need not let the stack's go on."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()

    def rows(self, query: str) -> list[tuple[object, ...]]:
        async def read() -> list[tuple[object, ...]]:
            async with self._database.read() as connection:
                return [tuple(row) for row in await connection.execute(text(query))]

        return asyncio.run_coroutine_threadsafe(read(), self._loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._database.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Stack:
    """A running stack, as a caller on the same machine sees it."""

    def __init__(self, urls: Mapping[str, str], http: httpx.AsyncClient, upstream: Upstream, installation: Installation) -> None:
        self.url = urls["router"]
        self.rbac_url = urls["rbac"]
        self.gateway_url = urls.get("gateway", "")
        self.devtools_url = urls.get("devtools", "")
        self.http = http
        self.upstream = upstream
        self.installation = installation
        self.front: Front | None = None
        self._outside: Outside | None = None
        self._last_answered = ""
        http.event_hooks["response"].append(self._answered)

    @property
    def database(self) -> Path:
        """The database file."""
        return self.installation.data_dir / "dagi.sqlite"

    def rows(self, query: str) -> list[tuple[object, ...]]:
        """What the database holds, whatever kind it is; committed, so read from outside of the stack."""
        if self._outside is None:
            self._outside = Outside(self.installation.database())
        return self._outside.rows(query)

    def close(self) -> None:
        """Give back what was opened to look into the database."""
        if self._outside is not None:
            self._outside.close()

    @asynccontextmanager
    async def unwritable(self) -> AsyncGenerator[None]:
        """Another program holds the database while the context lasts."""
        database = self.installation.database()
        async with database.write():
            yield
        await database.close()

    async def route(self, prompt: str = "Hello?", *, user: str = "tg:12345", **body: object) -> httpx.Response:
        """POST /route as a member of the demo DAO."""
        metadata = {"dao_id": DAO, "user_id": user, **dict(body.pop("metadata", {}) or {})}
        return await self.http.post("/route", json={"prompt": prompt, "metadata": metadata, **body})

    async def events(self, prompt: str = "Hello?", *, user: str = "tg:12345", **metadata: object) -> list[dict[str, object]]:
        """POST /route as a stream: every event."""
        body = {"prompt": prompt, "stream": True, "metadata": {"dao_id": DAO, "user_id": user, **metadata}}
        answer = await self.http.post("/route", json=body)
        assert answer.headers["content-type"].startswith("text/event-stream"), answer.text
        return [json.loads(frame.removeprefix("data: ")) for frame in answer.text.split("\n\n") if frame]

    async def key(self, role: str, **options: object) -> str:
        """A new key of the demo DAO, known to the running stack."""
        database = self.installation.database()
        made = await Keys(database, FakeClock()).create(DAO, role, **options)
        await database.close()
        if self.front is not None:
            await self.front.directory.refresh()
        else:
            headers = {"authorization": f"Bearer {made.key}"}
            async with asyncio.timeout(10):
                while (await self.http.get("/info", headers=headers)).status_code == 401:
                    await asyncio.sleep(0.02)
        return made.key

    def rbac(self, key: str | None = None) -> httpx.AsyncClient:
        """A client of the rbac service, with a key or as a program on the same machine; to be used as a context."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return httpx.AsyncClient(base_url=self.rbac_url, headers=headers, timeout=30)

    def log(self, service: str = "router") -> list[dict[str, object]]:
        """Every line a process has logged."""
        path = self.installation.data_dir / "logs" / f"{service}.log"
        if self.front is not None:
            self.front.observer.flush()
        else:
            # Another process gathers its lines for a moment.
            give_up = time.monotonic() + 5
            while time.monotonic() < give_up and not (path.exists() and self._last_answered in path.read_text(encoding="utf-8")):
                time.sleep(0.005)
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    async def _answered(self, response: httpx.Response) -> None:
        if response.request.url.path == "/route":
            self._last_answered = response.headers.get("x-request-id", "")


def configuration(upstream: Upstream, tmp_path: Path) -> dict[str, object]:
    """A small installation: two scripted providers and the DAO's facts behind one rule."""
    quick = {"timeout_ms": 5000, "retry": {"attempts": 2, "delay_s": 0.0}}
    return {
        "version": "0.3.0",
        "environment": "development",
        "data_dir": str(tmp_path / "data"),
        "llm_providers": [
            {"name": "model", "type": "openai_compatible", "config": {"base_url": upstream.v1, "model": "scripted", **quick}},
            {"name": "native", "type": "ollama", "selectable": True, "config": {"base_url": upstream.origin, "model": "scripted", **quick}},
        ],
        "routing_rules": [
            {"name": "wish", "priority": 1, "conditions": {"metadata_has": "provider"}, "use_metadata": "provider"},
            {
                "name": "plain",
                "priority": 5,
                "conditions": {"mode": "chat", "metadata": {"plain": True}},
                "use_provider": "model",
                "context": False,
            },
            {
                "name": "chat",
                "priority": 10,
                "conditions": {"mode": "chat"},
                "use_provider": "model",
                "fallback_provider": ["native", "dao_facts"],
                "deadline_ms": 10000,
                "context": {"facts": True, "roles": True, "history": True},
            },
        ],
        "knowledge": {"embedder": False},
        "devtools": {"enabled": False},
        "logging": {"format": "json"},
        "dao": {"demo": True, "default": DAO},
    }


def merged(base: Mapping[str, object], changes: Mapping[str, object]) -> dict[str, object]:
    """The base with the changes; mappings merge, everything else is replaced."""
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


class CounterServer:
    """A real Valkey or Redis server on a unix socket, which can be ended, held still, and started again without what it knew."""

    def __init__(self) -> None:
        # A socket's path is short; pytest's directories are not.
        self._directory = Path(tempfile.mkdtemp(prefix="dagi-"))
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"unix://{self._directory}/s"

    async def start(self) -> None:
        """Start it, empty, and wait until it answers."""
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        assert program is not None, "scripts/packages.sh 'valkey-server|redis-server' installs it"
        path = self._directory / "s"
        options = ("--port", "0", "--unixsocket", str(path), "--save", "", "--appendonly", "no", "--dir", str(self._directory))
        self._process = await asyncio.create_subprocess_exec(program, *options, stdout=asyncio.subprocess.DEVNULL)
        async with asyncio.timeout(10):
            while True:
                try:
                    _, writer = await asyncio.open_unix_connection(path)
                except OSError:
                    await asyncio.sleep(0.005)
                else:
                    writer.close()
                    await writer.wait_closed()
                    return

    async def stop(self) -> None:
        """End it at once."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            await process.wait()
            (self._directory / "s").unlink(missing_ok=True)

    def hold(self) -> None:
        """Let it accept connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    async def close(self) -> None:
        """Leave nothing behind."""
        await self.stop()
        shutil.rmtree(self._directory)


@pytest.fixture
async def counters() -> AsyncGenerator[CounterServer]:
    """A server of shared counters, started."""
    server = CounterServer()
    await server.start()
    yield server
    await server.close()


@pytest.fixture(scope="session")
def anvil() -> Path:
    """The program anvil, a chain for tests; scripts/anvil.sh installs it where it is missing."""
    script = Path(__file__).parents[1] / "scripts" / "anvil.sh"
    found = subprocess.run([script], capture_output=True, text=True, check=False, timeout=100)  # noqa: S603
    assert found.returncode == 0, found.stderr
    return Path(found.stdout.strip())


@pytest.fixture
async def chain(anvil: Path) -> AsyncGenerator[LocalChain]:
    """A chain of its own, empty but for what the test puts there."""
    async with Client() as http, local_chain(anvil, http, lambda url: RpcChain(http, local_node(url))) as running:
        yield running


def local_node(url: str) -> Node:
    """What the configuration would say of that chain."""
    return Node(name="local", chain_id=CHAIN_ID, url=url)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this worker's own; only tests that ask for it start it."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def template(postgres: PostgresServer) -> str:
    """A database with all tables and nothing in them, to be copied."""
    name = postgres.database()

    async def fill() -> None:
        database = Database(Address(url=postgres.url(name)))
        await upgrade(database)
        await database.close()

    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, fill()).result()
    return name


class Founded:
    """Data directories as first starts leave them, to be copied: migrations and the demo DAO take longer than most tests."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def fill(self) -> None:
        """Make them: one with all tables and nothing in them, one with the demo DAO as well."""
        for name in ("empty", "demo"):
            data_dir = self._directory / name
            file = self._directory / f"{name}.yml"
            file.write_text(yaml.safe_dump({"version": "0.3.0", "environment": "development", "data_dir": str(data_dir)}), encoding="utf-8")
            installation = Installation.of(Choice(config=str(file)))
            database = installation.database()
            await upgrade(database)
            if name == "demo":
                await seed_demo(installation, database)
            await database.close()
            assert not data_dir.joinpath(f"{FILE_NAME}-wal").exists()

    def copy(self, name: str, data_dir: Path) -> None:
        """Have one of them there, unless there is a database already."""
        if not (data_dir / FILE_NAME).exists():
            shutil.copytree(self._directory / name, data_dir, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    """What first starts leave."""
    found = Founded(tmp_path_factory.mktemp("founded"))
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, found.fill()).result()
    return found


@pytest.fixture
def postgres_url(postgres: PostgresServer, template: str) -> Iterator[str]:
    """The address of a PostgreSQL database of the test's own, with all tables."""
    name = postgres.database(template)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | Address:
    """Where the test's database is: every test that asks for it runs on both kinds."""
    if request.param == "sqlite":
        return tmp_path / "data" / FILE_NAME
    return Address(url=request.getfixturevalue("postgres_url"))


@pytest.fixture
async def database(place: Path | Address, founded: Founded) -> AsyncGenerator[Database]:
    """An empty database with all tables, of each kind."""
    if isinstance(place, Path):
        founded.copy("empty", place.parent)
    found = Database(place)
    await upgrade(found)
    yield found
    await found.close()


Opener = Callable[[str], Awaitable[Database]]


@pytest.fixture
async def opened(request: pytest.FixtureRequest, tmp_path: Path, founded: Founded) -> AsyncGenerator[Opener]:
    """Opens an empty database with all tables of a kind: `sqlite` or `postgres`. For suites that run on fakes, too."""
    made: list[Database] = []

    async def opening(kind: str) -> Database:
        if kind == "sqlite":
            founded.copy("empty", tmp_path / "data")
        made.append(Database(tmp_path / "data" / FILE_NAME if kind == "sqlite" else Address(url=request.getfixturevalue("postgres_url"))))
        await upgrade(made[-1])
        return made[-1]

    yield opening
    for one in made:
        await one.close()


StackFactory = Callable[..., AbstractAsyncContextManager[Stack]]


def pytest_addoption(parser: pytest.Parser) -> None:
    """`pytest tests/story --processes`: the same stories, told to a stack in processes of its own."""
    parser.addoption("--processes", action="store_true", help="start `dagi serve` instead of a stack in the test's own process")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what looks into the process it tests, where that is another one."""
    if config.getoption("--processes"):
        inside = [item for item in items if item.get_closest_marker("inside")]
        config.hook.pytest_deselected(items=inside)
        items[:] = [item for item in items if item not in inside]


@asynccontextmanager
async def in_this_process(installation: Installation) -> AsyncGenerator[tuple[Mapping[str, str], Front | None]]:
    """The stack on the test's own event loop: the addresses of its services, and what it is made of."""
    services = usual_services(installation.loaded.settings)
    listeners = {name: socket.create_server(("127.0.0.1", 0)) for name in services}
    urls = {name: f"http://127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
    async with AsyncExitStack() as stack:
        if DEVTOOLS in urls:
            devtools = await stack.enter_async_context(opened_devtools(installation, urls[DEVTOOLS]))
            await stack.enter_async_context(serving_devtools(devtools, installation, listeners[DEVTOOLS]))
        front = await stack.enter_async_context(opened_front(installation, urls))
        await stack.enter_async_context(serving(front, installation, listeners))
        yield urls, front


@asynccontextmanager
async def in_processes(installation: Installation) -> AsyncGenerator[tuple[Mapping[str, str], Front | None]]:
    """The stack as an operator runs it: supervisor, front and embedder."""
    command = (sys.executable, "-m", "dagi", "serve", "--port", "0", "--config", str(installation.choice.config))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        urls: dict[str, str] = {}
        services = usual_services(installation.loaded.settings)
        async with asyncio.timeout(60):
            while len(urls) < len(services):
                line = (await process.stdout.readline()).decode()
                assert line, "the stack did not start"
                if line.startswith(services):
                    urls[line.split()[0]] = line.split()[1]
        yield urls, None
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), 60)


@pytest.fixture
def database_url(request: pytest.FixtureRequest) -> str | None:
    """What `database.url` says: nothing, where a module does not ask for both kinds of database (`ON_BOTH`)."""
    return request.getfixturevalue("postgres_url") if getattr(request, "param", "sqlite") == "postgres" else None


@pytest.fixture
def start(request: pytest.FixtureRequest, tmp_path: Path, database_url: str | None, founded: Founded) -> Iterator[StackFactory]:
    """Starts a stack in this process (or in its own, with `--processes`); keyword arguments change its configuration."""
    made: list[Stack] = []
    running_in = in_processes if request.config.getoption("--processes") else in_this_process

    @asynccontextmanager
    async def starting(change: Callable[[dict[str, object]], None] | None = None, **changes: object) -> AsyncGenerator[Stack]:
        async with AsyncExitStack() as stack:
            upstream = await stack.enter_async_context(Upstream())
            settings = merged(configuration(upstream, tmp_path), {"database": {"url": database_url}, **changes})
            if change is not None:
                change(settings)
            file = tmp_path / "dagi.yml"
            file.write_text(yaml.safe_dump(settings, allow_unicode=True), encoding="utf-8")
            installation = Installation.of(Choice(config=str(file)))
            database = installation.database()
            if database.path is not None:
                founded.copy("demo" if installation.loaded.settings.dao.demo else "empty", installation.data_dir)
            await upgrade(database)
            if installation.loaded.settings.dao.demo:
                await seed_demo(installation, database)
            await database.close()
            urls, front = await stack.enter_async_context(running_in(installation))
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=urls["router"], timeout=30))
            running = Stack(urls, http, upstream, installation)
            running.front = front
            made.append(running)
            yield running

    yield starting
    # Tests look into the database of a stack that has ended, too.
    for one in made:
        one.close()


@pytest.fixture
async def stack(start: StackFactory) -> AsyncGenerator[Stack]:
    """The stack with its ordinary configuration."""
    async with start() as running:
        yield running


@pytest.fixture
async def rbac(stack: Stack) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the stack's rbac service, without a key."""
    async with stack.rbac() as http:
        yield http


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model of 120 KB in llama.cpp's own format: valid and quick, and it talks nonsense."""
    file = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_tiny_model(file)
    return file


def write_tiny_model(file: Path) -> None:
    """One layer of random weights over a vocabulary of single bytes."""
    import gguf
    import numpy as np

    width, inner = 32, 64
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{value:02X}>" for value in range(256))]
    kinds = gguf.TokenType
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(16384)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // 2)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types([kinds.UNKNOWN, kinds.CONTROL, kinds.CONTROL, *[kinds.BYTE] * 256])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template("{% for turn in messages %}{{ turn['role'] }}: {{ turn['content'] }}\n{% endfor %}assistant: ")
    chance = np.random.default_rng(7)
    shapes = {
        "token_embd": (len(tokens), width),
        "output": (len(tokens), width),
        **{f"blk.0.attn_{part}": (width, width) for part in ("q", "k", "v", "output")},
        **{f"blk.0.ffn_{part}": (inner, width) for part in ("gate", "up")},
        "blk.0.ffn_down": (width, inner),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", (chance.standard_normal(shape) * 0.1).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


async def until(condition: Callable[[], bool], within_s: float = 10) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within_s):
        while not condition():
            await asyncio.sleep(0.005)
