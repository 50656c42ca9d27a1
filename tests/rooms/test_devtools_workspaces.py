"""Workspaces on disk: made, found, held, counted and removed, by several at once and by some that die."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dagi.errors import Conflict, Internal, Invalid, Missing, PayloadTooLarge
from dagi.targets.devtools.workspaces.disk import DiskWorkspace, place, settle
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from dagi.targets.devtools.workspaces.workspace import Quota, Usage
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
DAO = "greenfood-dao"
TURNS = 50
QUOTA = Quota(bytes=10_000, files=50, history_bytes=10_000)


@pytest.fixture
async def store(tmp_path: Path) -> DiskWorkspaces:
    made = DiskWorkspaces(tmp_path / "workspaces", FakeClock(), quota=QUOTA, per_dao=3)
    await made.open()
    return made


def another(tmp_path: Path) -> DiskWorkspaces:
    """The same directory, as another process has it."""
    return DiskWorkspaces(tmp_path / "workspaces", FakeClock(), quota=QUOTA, per_dao=3)


def add(workspace: DiskWorkspace, name: str, size: int) -> None:
    with workspace.changing() as change:
        change.grow(size=size, files=1)
        (workspace.tree / name).write_bytes(b"x" * size)


async def others_turn() -> None:
    """Let whoever can go on go on."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


async def test_a_workspace_is_made_found_listed_and_removed(store) -> None:
    await store.create(DAO, "main", made_by="tg:12345")
    await store.create(DAO, "site", template="python")
    found = await store.find(DAO, "site")
    assert (found.tree / "treasury" / "accounts.py").is_file()
    assert [(about.name, about.origin, about.made_by) for about in await store.list(DAO)] == [
        ("main", "empty", "tg:12345"),
        ("site", "template python", ""),
    ]
    await store.delete(DAO, "site")
    with pytest.raises(Missing):
        await store.find(DAO, "site")
    assert [about.name for about in await store.list(DAO)] == ["main"]
    assert sorted(path.name for path in found.directory.parent.iterdir() if not path.name.startswith(".")) == ["main"]
    assert list((found.directory.parent / ".draft").iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "A", "a..b", ".git", "-x", "x" * 65, "x\0", "x\n", "ä", "/etc"])
async def test_a_name_that_could_lead_elsewhere_is_none(store, name) -> None:
    with pytest.raises(Invalid):
        await store.create(DAO, name)
    with pytest.raises(Invalid):
        await store.find(name if name != "a..b" else "", "main")


async def test_one_dao_does_not_find_what_another_has(store) -> None:
    await store.create(DAO, "main")
    with pytest.raises(Missing):
        await store.find("other-dao", "main")
    assert await store.list("other-dao") == ()


async def test_a_dao_has_as_many_as_it_may_even_when_all_are_asked_for_at_once(store, tmp_path) -> None:
    other = another(tmp_path)
    tried = [(store if number % 2 else other).create(DAO, f"w{number}") for number in range(8)]
    made = await asyncio.gather(*tried, return_exceptions=True)
    assert sum(isinstance(one, DiskWorkspace) for one in made) == 3
    assert sum(isinstance(one, Conflict) for one in made) == 5


async def test_what_is_asked_for_twice_at_once_is_made_once(store, tmp_path) -> None:
    found = await asyncio.gather(*[one.find(DAO, "main", make=True) for one in (store, another(tmp_path)) * 4])
    assert len({workspace.tree for workspace in found}) == 1
    with pytest.raises(Conflict):
        await store.create(DAO, "main")


async def test_an_unknown_template_is_told_with_those_there_are(store) -> None:
    with pytest.raises(Invalid) as told:
        await store.create(DAO, "main", template="../../etc")
    assert told.value.facts["allowed"] == ["empty", "python"]


async def test_an_operators_template_is_copied_within_the_quota(tmp_path) -> None:
    templates = tmp_path / "templates"
    (templates / "small" / "docs").mkdir(parents=True)
    (templates / "small" / "docs" / "a.md").write_text("hello")
    (templates / "small" / "docs" / "__pycache__").mkdir()
    (templates / "small" / "docs" / "__pycache__" / "a.pyc").write_text("/home/operator")
    (templates / "large").mkdir()
    os.truncate(os.open(templates / "large" / "sparse", os.O_CREAT | os.O_WRONLY), 1 << 40)
    store = DiskWorkspaces(tmp_path / "workspaces", FakeClock(), quota=QUOTA, templates=templates)
    await store.open()
    workspace = await store.create(DAO, "small", template="small")
    assert [path.name for path in (workspace.tree / "docs").iterdir()] == ["a.md"]
    assert (workspace.tree / "docs" / "a.md").read_text() == "hello"
    with pytest.raises(PayloadTooLarge):
        await store.create(DAO, "large", template="large")
    assert [about.name for about in await store.list(DAO)] == ["small"]


async def test_the_packaged_template_is_a_project_whose_tests_pass(tmp_path) -> None:
    store = DiskWorkspaces(tmp_path / "workspaces", FakeClock())
    await store.open()
    workspace = await store.create(DAO, "sample", template="python")
    arguments = ("-m", "pytest", "-q", "-p", "no:cacheprovider")
    bare = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": os.environ["PATH"]}
    run = await asyncio.create_subprocess_exec(sys.executable, *arguments, cwd=workspace.tree, env=bare, stdout=subprocess.PIPE)
    output, _ = await run.communicate()
    assert run.returncode == 0, output
    assert b"4 passed" in output


async def test_commands_and_a_quota_of_its_own_are_kept_and_seen_by_all(store, tmp_path) -> None:
    await store.create(DAO, "main")
    other = another(tmp_path)
    assert (await other.find(DAO, "main")).quota == QUOTA
    await store.set_commands(DAO, "main", {"lint": ("ruff", "check", ".")})
    await store.set_quota(DAO, "main", Quota(bytes=5))
    assert (await other.about(DAO, "main")).commands == {"lint": ("ruff", "check", ".")}
    assert (await other.find(DAO, "main")).quota == Quota(bytes=5)
    with pytest.raises(Invalid):
        await store.set_commands(DAO, "main", {"lint": ("ruff", "a\0b")})


async def test_what_it_holds_is_counted_without_walking_and_anew_where_the_count_is_lost(store, tmp_path) -> None:
    workspace = await store.create(DAO, "main")
    async with workspace.writing():
        add(workspace, "a", 100)
    # Behind its back: the count is relied on.
    (workspace.tree / "b").write_bytes(b"x" * 50)
    assert await another(tmp_path).usage(DAO, "main") == Usage(100, 1)
    os.truncate(workspace.directory / "lock", 0)
    assert await store.usage(DAO, "main") == Usage(150, 2)


async def test_a_change_that_fails_half_way_is_measured_anew(store) -> None:
    workspace = await store.create(DAO, "main")
    async with workspace.writing():
        add(workspace, "a", 100)
        with pytest.raises(OSError, match="full"), workspace.changing() as change:
            change.grow(size=5000, files=1)
            raise OSError("the disk is full")
        add(workspace, "b", 10)
    assert await store.usage(DAO, "main") == Usage(110, 2)


async def test_a_count_of_before_the_machines_last_start_is_none(store) -> None:
    workspace = await store.create(DAO, "main")
    async with workspace.writing():
        add(workspace, "a", 100)
    (workspace.directory / "lock").write_text("another-start 7 7\n")
    assert await store.usage(DAO, "main") == Usage(100, 1)


async def test_nothing_grows_beyond_the_quota_and_what_is_over_it_may_shrink(store) -> None:
    workspace = await store.create(DAO, "main")
    async with workspace.writing():
        add(workspace, "a", 9_000)
        with pytest.raises(PayloadTooLarge):
            add(workspace, "b", 1_001)
        with pytest.raises(PayloadTooLarge), workspace.changing() as change:
            change.grow(files=50)
    assert not (workspace.tree / "b").exists()
    await store.set_quota(DAO, "main", Quota(bytes=10))
    smaller = await store.find(DAO, "main")
    async with smaller.writing():
        with smaller.changing() as change:
            change.grow(size=-1000)
            assert change.usage.bytes == 8_000


async def test_who_does_not_hold_a_workspace_changes_nothing(store) -> None:
    workspace = await store.create(DAO, "main")
    with pytest.raises(Internal), workspace.changing():
        pass
    with pytest.raises(Internal):
        await workspace.replace(0, ("tree",))


async def test_readers_share_and_a_writer_is_alone(store, tmp_path) -> None:
    one, two = await store.create(DAO, "main"), await another(tmp_path).find(DAO, "main")
    inside: list[str] = []

    async def write(workspace: DiskWorkspace) -> None:
        async with workspace.writing():
            inside.append("in")
            await asyncio.sleep(0)
            inside.append("out")

    async with one.reading(), two.reading():
        writers = [asyncio.create_task(write(workspace)) for workspace in (one, two, one)]
        await others_turn()
        assert inside == []
    await asyncio.gather(*writers)
    assert inside == ["in", "out"] * 3


async def test_a_writer_gets_its_turn_among_readers_that_never_end(store, tmp_path) -> None:
    await store.create(DAO, "main")
    stores = (store, another(tmp_path))
    written = asyncio.Event()

    async def read(number: int) -> None:
        workspace = await stores[number % 2].find(DAO, "main")
        while not written.is_set():
            async with workspace.reading():
                await others_turn()

    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(read(number))
        await others_turn()
        async with (await store.find(DAO, "main")).writing():
            written.set()


async def test_who_waited_for_a_workspace_that_is_removed_is_told_so(store, tmp_path) -> None:
    workspace = await store.create(DAO, "main")
    other = await another(tmp_path).find(DAO, "main")
    async with workspace.reading():
        removing = asyncio.create_task(store.delete(DAO, "main"))
        await others_turn()
        waiting = asyncio.create_task(add_waiting(other))
        await others_turn()
    await removing
    with pytest.raises(Missing):
        await waiting


async def add_waiting(workspace: DiskWorkspace) -> None:
    async with workspace.writing():
        await asyncio.to_thread(add, workspace, "a", 1)


async def test_a_cancelled_change_keeps_the_lock_until_its_thread_is_done(store) -> None:
    from threading import Event

    from dagi.targets.devtools.workspaces.threads import to_its_end

    workspace = await store.create(DAO, "main")
    go_on, started = Event(), Event()

    async def write() -> None:
        async with workspace.writing():
            await to_its_end(lambda: (started.set(), go_on.wait(10)))

    task = asyncio.create_task(write())
    await asyncio.to_thread(started.wait, 10)
    task.cancel()
    reader = asyncio.create_task(read_once(workspace))
    await others_turn()
    assert not task.done()
    assert not reader.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    await reader


async def read_once(workspace: DiskWorkspace) -> None:
    async with workspace.reading():
        pass


WORKING = """
import asyncio, sys
from pathlib import Path
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from dagi.observe.clock import SystemClock

async def main():
    store = DiskWorkspaces(Path(sys.argv[1]), SystemClock(), per_dao=10**6)
    await store.open()
    number = 0
    print("go", flush=True)
    while True:
        number += 1
        await store.create("dao", f"w{number % 3}", template="python")
        await store.set_commands("dao", f"w{number % 3}", {"test": ("pytest",)})
        await store.delete("dao", f"w{number % 3}")

asyncio.run(main())
"""


async def test_a_process_that_is_killed_leaves_whole_workspaces_and_no_lock(tmp_path) -> None:
    directory = tmp_path / "workspaces"
    for number in range(4):
        await asyncio.to_thread(killed_at_work, WORKING, [str(directory)], 0.02 + number * 0.013)
        store = DiskWorkspaces(directory, FakeClock())
        await store.open()
        for about in await store.list("dao"):
            workspace = await store.find("dao", about.name)
            assert (workspace.tree / "treasury" / "accounts.py").is_file()
            async with workspace.writing():
                assert list((workspace.directory / "draft").iterdir()) == []
            await store.delete("dao", about.name)
        assert not (directory / "dao" / ".draft").exists() or not list((directory / "dao" / ".draft").iterdir())


def killed_at_work(script: str, arguments: list[str], after_s: float) -> None:
    """Let a process work for a moment and kill it wherever it is."""
    process = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)  # noqa: S603
    try:
        assert process.stdout is not None
        assert process.stdout.readline()
        # Not waiting for anything: where it is when it dies is to be left to chance.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(after_s)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


async def test_opening_leaves_alone_what_somebody_works_on(store, tmp_path) -> None:
    workspace = await store.create(DAO, "main")
    async with workspace.writing():
        (workspace.directory / "draft" / "file").write_text("on its way")
        await another(tmp_path).open()
        assert (workspace.directory / "draft" / "file").exists()
    await another(tmp_path).open()
    assert not (workspace.directory / "draft" / "file").exists()


@pytest.mark.parametrize("dies_after", ["first", "second", None])
async def test_where_names_cannot_be_exchanged_at_once_a_death_in_between_is_mended(store, dies_after) -> None:
    workspace = await store.create(DAO, "main")
    (workspace.tree / "old").write_text("old")
    new, draft = workspace.directory / "draft" / "new", workspace.directory / "draft"
    new.mkdir()
    (new / "new").write_text("new")
    if dies_after is None:
        place(workspace.directory, "work/tree", exchanged=False)
    else:
        (draft / "meant-for").write_text("work/tree")
        workspace.tree.rename(draft / "old")
        if dies_after == "second":
            new.rename(workspace.tree)
    settle(workspace.directory)
    assert [path.name for path in workspace.tree.iterdir()] == ["new"]
    assert list(draft.iterdir()) == []
