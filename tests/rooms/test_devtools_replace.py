"""What a run leaves behind takes the place of a workspace's files: hostile names, links, kinds and sizes get nowhere."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from dagi.errors import Conflict, PayloadTooLarge
from dagi.targets.devtools.workspaces.disk import DiskWorkspace
from dagi.targets.devtools.workspaces.kernel import either, open_by_kernel, open_by_walking
from dagi.targets.devtools.workspaces.names import is_gits, printable
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from dagi.targets.devtools.workspaces.walking import DEPTH
from dagi.targets.devtools.workspaces.workspace import Quota, Replaced, Usage
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
QUOTA = Quota(bytes=100_000, files=300, history_bytes=100_000)
SECRET = "the canary sings"


@pytest.fixture
async def workspace(tmp_path: Path) -> DiskWorkspace:
    store = DiskWorkspaces(tmp_path / "workspaces", FakeClock(), quota=QUOTA)
    await store.open()
    made = await store.create("dao", "main")
    (made.tree / "before.txt").write_text("before")
    return made


@pytest.fixture
def left(tmp_path: Path) -> Path:
    """What a run left behind."""
    (tmp_path / "left" / "tree").mkdir(parents=True)
    (tmp_path / "left" / "git").mkdir()
    return tmp_path / "left"


async def replaced(workspace: DiskWorkspace, left: Path, *names: str) -> Replaced:
    root = os.open(left, os.O_RDONLY | os.O_DIRECTORY)
    try:
        async with workspace.writing():
            return await workspace.replace(root, names)
    finally:
        os.close(root)


def shown(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): f"-> {path.readlink()}" if path.is_symlink() else path.read_text()
        for path in sorted(directory.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


async def test_files_directories_and_links_take_the_place_of_what_was_there(workspace, left) -> None:
    (left / "tree" / "src").mkdir()
    (left / "tree" / "src" / "run.sh").write_text("#!/bin/sh")
    (left / "tree" / "src" / "run.sh").chmod(0o4755)
    (left / "tree" / "link").symlink_to("/etc/passwd")
    (left / "git" / "HEAD").write_text("ref")
    told = await replaced(workspace, left, "tree")
    assert told == Replaced(Usage(9, 3), (), 0)
    assert shown(workspace.tree) == {"src/run.sh": "#!/bin/sh", "link": "-> /etc/passwd"}
    assert (workspace.tree / "src" / "run.sh").stat().st_mode & 0o7777 == 0o755
    assert not workspace.git.exists()
    await replaced(workspace, left, "tree", "git")
    assert shown(workspace.git) == {"HEAD": "ref"}
    assert list((workspace.directory / "draft").iterdir()) == []


async def test_what_is_no_file_is_left_out_and_told(workspace, left) -> None:
    tree = left / "tree"
    os.mkfifo(tree / "fifo")
    (tree / "src").mkdir()
    with socket.socket(socket.AF_UNIX) as bound:
        # A socket's path has at most 107 bytes; tests begin in the directory all this is in.
        bound.bind(str((tree / "s").relative_to(Path.cwd())))
    if os.geteuid() == 0:
        os.mknod(tree / "null", 0o20666, os.makedev(1, 3))
    for name in (".git", ".GIT ", "git~1", ".g\u200cit", "a\\.git"):
        (tree / "src" / name).mkdir()
        (tree / "src" / name / "config").write_text("[core] fsmonitor = evil")
    (tree / "src" / "kept\x1b[2J\udcff").write_text("kept")
    told = await replaced(workspace, left, "tree")
    assert list(shown(workspace.tree)) == ["src/kept\x1b[2J\udcff"]
    assert told.left_out_all == len(told.left_out) == (8 if os.geteuid() == 0 else 7)
    assert "src/.g\\u200cit" in told.left_out


async def test_a_sparse_giant_and_a_flood_of_files_change_nothing(workspace, left) -> None:
    os.truncate(os.open(left / "tree" / "sparse", os.O_CREAT | os.O_WRONLY), 1 << 42)
    with pytest.raises(PayloadTooLarge):
        await replaced(workspace, left, "tree", "git")
    (left / "tree" / "sparse").unlink()
    for number in range(301):
        (left / "tree" / str(number)).touch()
    with pytest.raises(PayloadTooLarge):
        await replaced(workspace, left, "tree")
    assert shown(workspace.tree) == {"before.txt": "before"}
    assert list((workspace.directory / "draft").iterdir()) == []


async def test_a_history_beyond_its_quota_changes_nothing(workspace, left) -> None:
    (left / "git" / "pack").write_bytes(b"x" * 100_001)
    with pytest.raises(PayloadTooLarge):
        await replaced(workspace, left, "tree", "git")
    assert shown(workspace.tree) == {"before.txt": "before"}
    assert not workspace.git.exists()


async def test_hard_links_become_files_of_their_own_and_each_counts(workspace, left) -> None:
    (left / "tree" / "a").write_bytes(b"x" * 1000)
    os.link(left / "tree" / "a", left / "tree" / "b")
    told = await replaced(workspace, left, "tree")
    assert told.usage == Usage(2000, 2)
    assert {path.stat().st_nlink for path in workspace.tree.iterdir()} == {1}


@pytest.mark.parametrize("what", ["link", "file", "nothing"])
async def test_a_run_that_leaves_no_directory_changes_nothing(workspace, left, tmp_path, what) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "canary").write_text(SECRET)
    (left / "tree").rmdir()
    if what == "link":
        (left / "tree").symlink_to(outside)
    elif what == "file":
        (left / "tree").touch()
    with pytest.raises(Conflict):
        await replaced(workspace, left, "tree")
    assert shown(workspace.tree) == {"before.txt": "before"}


async def test_names_without_end_are_left_out(workspace, left) -> None:
    at = os.open(left / "tree", os.O_RDONLY)
    for _ in range(DEPTH + 20):
        os.mkdir("d", dir_fd=at)
        deeper = os.open("d", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = deeper
    os.close(at)
    told = await replaced(workspace, left, "tree")
    assert told.usage == Usage(0, DEPTH - 1)
    assert told.left_out_all == 1


async def test_objects_of_git_that_are_there_already_are_kept_and_cost_nothing(workspace, left) -> None:
    name = f"objects/ab/{'c' * 38}"
    (left / "git" / name).parent.mkdir(parents=True)
    (left / "git" / name).write_text("object")
    (left / "git" / "config").write_text("one")
    await replaced(workspace, left, "git")
    inode = (workspace.git / name).stat().st_ino
    (left / "git" / name).write_text("forged")
    (left / "git" / "config").write_text("two")
    await replaced(workspace, left, "git")
    assert (workspace.git / name).stat().st_ino == inode
    assert shown(workspace.git) == {name: "object", "config": "two"}
    assert shown(workspace.tree) == {"before.txt": "before"}


async def test_readers_see_the_old_files_or_the_new_ones(workspace, left) -> None:
    for number in range(20):
        (left / "tree" / f"{number}.txt").write_text("new")
    seen: set[int] = set()

    async def read() -> None:
        async with workspace.reading():
            seen.add(len(list(workspace.tree.iterdir())))

    await asyncio.gather(*[read() for _ in range(10)], replaced(workspace, left, "tree"), *[read() for _ in range(10)])
    assert seen == {1, 20}


@pytest.mark.parametrize("opened", [open_by_kernel, open_by_walking], ids=["kernel", "walking"])
def test_opening_beneath_leaves_neither_by_dots_nor_by_links(tmp_path, opened) -> None:
    (tmp_path / "canary").write_text(SECRET)
    inside = tmp_path / "inside"
    (inside / "a" / "b").mkdir(parents=True)
    (inside / "a" / "file").write_text("fine")
    (inside / "up").symlink_to("..")
    (inside / "a" / "out").symlink_to(tmp_path / "canary")
    (inside / "magic").symlink_to("/proc/self/root")
    (inside / "near").symlink_to("a")
    root = os.open(inside, os.O_RDONLY)
    ways = (
        "../canary",
        "a/../../canary",
        "up/canary",
        "a/out",
        "magic/etc/passwd",
        "near/file",
        str(tmp_path / "canary"),
        "a/file/x",
        "none",
    )
    for path in ways:
        with pytest.raises(OSError):  # noqa: PT011 - which one it is differs
            os.close(opened(root, path, os.O_RDONLY | os.O_NOFOLLOW))
    fd = opened(root, "a/file", os.O_RDONLY | os.O_NOFOLLOW)
    assert os.read(fd, 10) == b"fine"
    assert not os.get_inheritable(fd)
    os.close(fd)
    fd = opened(root, "", os.O_RDONLY | os.O_DIRECTORY)
    assert os.fstat(fd).st_ino == inside.stat().st_ino
    os.close(fd)
    os.close(root)


@pytest.mark.parametrize("opened", [open_by_kernel, open_by_walking], ids=["kernel", "walking"])
def test_opening_beneath_stays_on_its_file_system(opened) -> None:
    root = os.open("/", os.O_RDONLY)
    with pytest.raises(OSError, match="cross-device|Invalid"):
        opened(root, "proc/self", os.O_RDONLY)
    os.close(root)


@pytest.mark.parametrize("number", ["ENOSYS", "EPERM"])
def test_where_the_kernel_has_no_openat2_or_a_filter_forbids_it_the_path_is_walked(tmp_path, number) -> None:
    import errno

    def refused(root: int, path: str, flags: int) -> int:
        raise OSError(getattr(errno, number), "no")

    (tmp_path / "file").write_text("fine")
    root = os.open(tmp_path, os.O_RDONLY)
    fd = either(refused, open_by_walking)(root, "file", os.O_RDONLY)
    assert os.read(fd, 10) == b"fine"
    os.close(fd)
    os.close(root)


@pytest.mark.parametrize(
    "name",
    [".git", ".GIT", ".Git.", ".git ", ".git . .", "git~1", "GIT~2", ".g\u200dit", "\ufeff.git", ".git::$INDEX_ALLOCATION", "x\\.git"],
)
def test_what_some_file_system_takes_for_gits_directory_is_known(name) -> None:
    assert is_gits(name)


@pytest.mark.parametrize("name", [".gitignore", ".gitattributes", "git", "x.git", ".gitlab", "digit~1", "git~", ".github"])
def test_what_only_looks_like_it_is_not_meant(name) -> None:
    assert not is_gits(name)


def test_what_is_shown_of_names_prints() -> None:
    assert printable("a\x1b\u202e\udcff/ї") == "a\\x1b\\u202e\\udcff/ї"
    assert len(printable("x" * 1000)) == 201
