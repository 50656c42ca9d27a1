"""Attacks on the tools of files: a canary outside of the workspace stays untouched and unread, and nothing is torn or lost."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from dagi.errors import Conflict, DagiError, Invalid, Missing, PayloadTooLarge
from dagi.message import Grant
from dagi.targets.devtools.files.kit import FileTools
from dagi.targets.devtools.tool import Call
from dagi.targets.devtools.workspaces.kernel import exchange, open_beneath, open_by_walking
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from dagi.targets.devtools.workspaces.walking import measure
from dagi.targets.devtools.workspaces.workspace import Quota, Usage
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
SECRET = "the canary sings"
CALL = Call(id="r1", grant=Grant(dao_id="dao", user_id="tg:666"), hear=lambda _: None)
ROUNDS = 120


class House:
    """A workspace beside which a canary sits."""

    def __init__(self, outside: Path, tree: Path, store: DiskWorkspaces, tools: FileTools) -> None:
        self.outside = outside
        self.tree = tree
        self.store = store
        self._tools = {tool.name: tool for tool in tools.tools()}
        self.seen: list[str] = []

    async def ask(self, name: str, **params: object) -> Mapping[str, object]:
        tool = self._tools[name]
        try:
            given = await tool.work(CALL, msgspec.convert(params, tool.takes))
        except DagiError as told:
            self.seen.append(f"{told.message} {told.facts}")
            raise
        self.seen.append(msgspec.json.encode(given).decode())
        return msgspec.to_builtins(given)

    def check(self) -> None:
        """The canary is as it was, nobody has seen it, and nobody was told where anything is on this machine."""
        assert sorted(path.name for path in self.outside.iterdir()) == ["canary", "dir"]
        assert (self.outside / "canary").read_text() == SECRET
        assert [(path.name, path.read_text()) for path in (self.outside / "dir").iterdir()] == [("canary", SECRET)]
        shown = "\n".join(self.seen)
        assert SECRET not in shown
        assert str(self.outside.parent) not in shown


@pytest.fixture(params=[open_beneath, open_by_walking], ids=["kernel", "walking"])
async def house(request, tmp_path: Path):
    outside = tmp_path / "outside"
    (outside / "dir").mkdir(parents=True)
    for name in ("canary", "dir/canary"):
        (outside / name).write_text(SECRET)
    store = DiskWorkspaces(tmp_path / "workspaces", FakeClock(), quota=Quota(bytes=1 << 20, files=500))
    await store.open()
    workspace = await store.create("dao", "main")
    made = House(outside, workspace.tree, store, FileTools(store, opener=request.param))
    await made.ask("fs_write", path="here.txt", content="here")
    yield made
    made.check()


async def every_tool_on(house: House, path: str) -> list[type[BaseException]]:
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: house.ask("fs_read", path=path),
        lambda: house.ask("fs_read", path=path, offset=0, max_bytes=5),
        lambda: house.ask("fs_write", path=path, content="overwritten"),
        lambda: house.ask("fs_write", path=path, edits=[{"old": "canary", "new": "cat"}]),
        lambda: house.ask("fs_write", path=path, patch="@@ -1 +1 @@\n-the canary sings\n+the cat sings\n"),
        lambda: house.ask("fs_write", path=path, content="overwritten", if_match="*"),
        lambda: house.ask("fs_move", path="here.txt", to=path, overwrite=True),
        lambda: house.ask("fs_move", path=path, to="stolen"),
        lambda: house.ask("fs_search", path=path, pattern="canary"),
        lambda: house.ask("fs_delete", path=path, recursive=True),
    ]
    raised: list[type[BaseException]] = []
    for call in calls:
        try:
            await call()
        except DagiError as told:
            raised.append(type(told))
    return raised


@pytest.mark.parametrize(
    "path", ["../outside/canary", "x/../../outside/canary", "{outside}/canary", "/etc/passwd", "..", "..\0/x", "%2e%2e/canary\ud800"]
)
async def test_no_path_leads_out(house, path) -> None:
    raised = await every_tool_on(house, path.format(outside=house.outside))
    assert raised == [Invalid] * 10


@pytest.mark.parametrize("path", ["up/canary", "up/dir/canary", "up/new", "up/new/deeper", "magic/etc/hostname", "twice/dir/canary"])
async def test_no_link_to_a_directory_is_followed(house, path) -> None:
    (house.tree / "up").symlink_to(house.outside)
    (house.tree / "magic").symlink_to("/proc/self/root")
    (house.tree / "twice").symlink_to("up")
    raised = await every_tool_on(house, path)
    assert len(raised) == 10
    assert set(raised) <= {Invalid, Conflict}
    listed = await house.ask("fs_list", depth=50)
    assert {entry["path"]: entry["kind"] for entry in listed["entries"]} == {
        "here.txt": "file",
        "magic": "link",
        "twice": "link",
        "up": "link",
    }
    assert (await house.ask("fs_search", pattern="canary"))["hits"] == []


@pytest.mark.parametrize("kind", ["link", "dangling", "hard", "fifo", "socket", "device"])
async def test_what_only_looks_like_a_file_is_neither_read_nor_written_through(house, kind) -> None:
    await house.ask("fs_write", path="sub/real", content="real")
    file = house.tree / "sub" / "odd"
    if kind == "device" and os.geteuid() != 0:
        return
    make: dict[str, Callable[[], object]] = {
        "link": lambda: file.symlink_to(house.outside / "canary"),
        "dangling": lambda: file.symlink_to(house.outside / "new"),
        "hard": lambda: os.link(house.outside / "canary", file),
        "fifo": lambda: os.mkfifo(file),
        "socket": lambda: bind(file),
        "device": lambda: os.mknod(file, 0o20666, os.makedev(1, 5)),
    }
    make[kind]()
    async with asyncio.timeout(20):
        for call in (
            house.ask("fs_read", path="sub/odd"),
            house.ask("fs_write", path="sub/odd", content="overwritten"),
            house.ask("fs_write", path="sub/odd", edits=[{"old": "canary", "new": "cat"}]),
            house.ask("fs_search", path="sub/odd", pattern="canary"),
            house.ask("fs_delete", path="sub/odd", if_match="*"),
        ):
            with pytest.raises(Invalid):
                await call
        assert (await house.ask("fs_search", pattern="canary"))["hits"] == []
        listed = await house.ask("fs_list", path="sub")
        # Its own name may be moved and taken away; what it leads to stays.
        await house.ask("fs_move", path="sub/odd", to="sub/moved")
        await house.ask("fs_move", path="sub/real", to="sub/moved", overwrite=True)
        assert (await house.ask("fs_read", path="sub/moved"))["content"] == "real"
    assert [entry["path"] for entry in listed["entries"]] == ["sub/odd", "sub/real"]


async def test_a_directory_full_of_ways_out_is_removed_and_they_lead_nowhere(house) -> None:
    bad = house.tree / "bad" / "deep"
    bad.mkdir(parents=True)
    (bad / "up").symlink_to(house.outside)
    (bad / "dir").symlink_to(house.outside / "dir", target_is_directory=True)
    os.link(house.outside / "canary", bad / "hard")
    os.mkfifo(bad / "fifo")
    await house.ask("fs_delete", path="bad", recursive=True)
    assert not (house.tree / "bad").exists()


@pytest.mark.parametrize(
    "path",
    [".git/config", ".GIT/hooks/pre-commit", "sub/.git./x", "git~1/config", ".g\u200bit/x/../..", ".dagi/x", "x" * 300, "a/" * 200 + "x"],
)
async def test_names_with_a_meaning_of_their_own_are_refused(house, path) -> None:
    assert set(await every_tool_on(house, path)) == {Invalid}
    assert sorted(path.name for path in house.tree.iterdir()) == ["here.txt"]


async def test_a_sparse_giant_is_neither_read_whole_nor_let_grow(house) -> None:
    giant = house.tree / "giant"
    fd = os.open(giant, os.O_CREAT | os.O_WRONLY)
    os.truncate(fd, 1 << 40)
    os.close(fd)
    os.truncate(house.tree.parents[1] / "lock", 0)
    with pytest.raises(PayloadTooLarge):
        await house.ask("fs_read", path="giant", first_line=1)
    part = await house.ask("fs_read", path="giant", offset=(1 << 40) - 4, max_bytes=100)
    assert (part["content"], part.get("etag")) == ("AAAAAA==", None)
    for content in ({"content": "x"}, {"edits": [{"old": "a", "new": "b"}]}):
        with pytest.raises(PayloadTooLarge):
            await house.ask("fs_write", path="giant", **content)
    with pytest.raises(PayloadTooLarge):
        await house.ask("fs_write", path="new", content="x")
    assert (await house.ask("fs_search", pattern="x"))["skipped"] == 1
    await house.ask("fs_delete", path="giant")
    await house.ask("fs_write", path="new", content="x")
    assert await house.store.usage("dao", "main") == Usage(5, 2)


def bind(file: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        # A socket's path has at most 107 bytes; tests begin in the directory all this is in.
        bound.bind(str(file.relative_to(Path.cwd())))


@contextmanager
def swapping(house: House, name: str) -> Iterator[None]:
    """Meanwhile a name is a directory of ours, a link to the outside, a directory, …"""
    (house.tree / name).mkdir(exist_ok=True)
    other = house.tree.parent / "other"
    other.symlink_to(house.outside / "dir")
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            exchange(house.tree / name, other)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


async def test_a_directory_that_becomes_a_link_while_it_is_used_leads_nowhere(house) -> None:
    (house.tree / "d").mkdir()
    (house.tree / "d" / "canary").write_text("ours")
    read = written = 0
    with swapping(house, "d"):
        for _ in range(ROUNDS):
            try:
                assert (await house.ask("fs_read", path="d/canary"))["content"] in {"ours", "written"}
                read += 1
            except (Invalid, Missing):
                pass
            try:
                found = await house.ask("fs_search", pattern="canary")
                assert all("sings" not in hit["text"] for hit in found["hits"])
                await house.ask("fs_list", depth=9)
                await house.ask("fs_write", path="d/canary", content="written")
                await house.ask("fs_write", path="d/new", content="written")
                await house.ask("fs_move", path="d/new", to="d/moved", overwrite=True)
                written += 1
            except (Invalid, Missing, Conflict):
                pass
    # What was tried is the race, not the refusal alone.
    assert read


async def test_a_directory_that_becomes_a_link_while_it_is_removed_leads_nowhere(house) -> None:
    with swapping(house, "d"):
        for _ in range(ROUNDS // 2):
            try:
                await house.ask("fs_write", path="d/canary", content="written")
                await house.ask("fs_delete", path="d/canary")
            except (Invalid, Missing, Conflict):
                pass


WRITING = """
import asyncio, sys
from pathlib import Path
from dagi.message import Grant
from dagi.observe.clock import SystemClock
from dagi.targets.devtools.files.kit import FileTools
from dagi.targets.devtools.files.moving import DeleteTakes
from dagi.targets.devtools.files.writing import WriteTakes
from dagi.targets.devtools.tool import Call
from dagi.targets.devtools.workspaces.store import DiskWorkspaces

async def main():
    store = DiskWorkspaces(Path(sys.argv[1]), SystemClock())
    await store.open()
    tools = {tool.name: tool for tool in FileTools(store).tools()}
    call = Call(id="r", grant=Grant(dao_id="dao", user_id="u"), hear=lambda _: None)
    print("go", flush=True)
    number = 0
    while True:
        number += 1
        letter = "ab"[number % 2]
        await tools["fs_write"].work(call, WriteTakes(path="file", content=letter * 300_000))
        await tools["fs_write"].work(call, WriteTakes(path=f"d{number}/x/y", content=letter))
        await tools["fs_delete"].work(call, DeleteTakes(path=f"d{number}", recursive=True))

asyncio.run(main())
"""


def killed_while_writing(directory: Path, after_s: float) -> None:
    process = subprocess.Popen([sys.executable, "-c", WRITING, str(directory)], stdout=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stdout is not None
    assert process.stdout.readline()
    # Wherever it is when it dies is to be left to chance.
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(after_s)
    process.kill()
    process.wait()
    process.stdout.close()


async def test_a_writer_that_is_killed_leaves_no_torn_file_and_a_count_that_is_right(tmp_path) -> None:
    directory = tmp_path / "workspaces"
    tree = directory / "dao" / "main" / "work" / "tree"
    for number in range(4):
        await asyncio.to_thread(killed_while_writing, directory, 0.03 + number * 0.017)
        if (tree / "file").exists():
            text = (tree / "file").read_text()
            assert text in {"a" * 300_000, "b" * 300_000}
        store = DiskWorkspaces(directory, FakeClock())
        await store.open()
        await FileTools(store).write(CALL, msgspec.convert({"path": "after", "content": "x"}, FileTools(store).tools()[1].takes))
        root = os.open(tree, os.O_RDONLY)
        assert await store.usage("dao", "main") == Usage(*measure(root))
        os.close(root)
        assert list((tree.parents[1] / "draft").iterdir()) == []
        assert {path.name[:1] for path in tree.iterdir()} <= {"f", "d", "a"}
