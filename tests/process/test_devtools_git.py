"""The git tools on real workspaces, with the real git in the real sandbox."""

import asyncio
import os
import shutil
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dagi.access.entitlements import CONTRIBUTOR, MEMBER
from dagi.errors import Conflict, Denied, Invalid, Missing, PayloadTooLarge
from dagi.message import Grant
from dagi.observe.clock import SystemClock
from dagi.targets.devtools.git.cloning import Cloning, check_address
from dagi.targets.devtools.git.forms import BranchWish, CommitWish, DiffWish, LogWish, StatusWish, WorktreeWish
from dagi.targets.devtools.git.running import CONFIG, Git
from dagi.targets.devtools.git.tools import GitTools
from dagi.targets.devtools.git.worktrees import WorktreeTools
from dagi.targets.devtools.sandbox.bubblewrap import Bubblewrap, Setting
from dagi.targets.devtools.tool import Call
from dagi.targets.devtools.workspaces.disk import DiskWorkspace
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from dagi.targets.devtools.workspaces.workspace import Quota
from dagi.testing.waiting import eventually

pytestmark = pytest.mark.anyio
CALL = Call(id="r1", grant=Grant(dao_id="dao", user_id="tg:12345", roles=("contributor",), entitlements=CONTRIBUTOR), hear=lambda _: None)


@pytest.fixture(scope="module")
def sandbox() -> Bubblewrap:
    return Bubblewrap(Setting(), SystemClock())


@pytest.fixture
async def store(tmp_path: Path) -> DiskWorkspaces:
    made = DiskWorkspaces(tmp_path / "workspaces", SystemClock(), quota=Quota(bytes=4 << 20, files=500, history_bytes=4 << 20))
    await made.open()
    return made


@pytest.fixture
async def workspace(store: DiskWorkspaces) -> DiskWorkspace:
    return await store.create("dao", "main")


@pytest.fixture
def git(sandbox: Bubblewrap) -> Git:
    return Git(sandbox)


@pytest.fixture
def tools(store: DiskWorkspaces, workspace: DiskWorkspace, git: Git) -> GitTools:
    del workspace
    return GitTools(store, git)


def put(workspace: DiskWorkspace, name: str, text: str) -> Path:
    path = workspace.tree / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


async def test_files_are_committed_shown_and_told_of(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "src/привіт.py", "one\ntwo\n")
    put(workspace, "- odd name.txt", "x\n")
    status = await tools.status(CALL, StatusWish())
    assert (status.branch, status.commit, status.clean) == ("main", None, False)
    assert {(file.path, file.change) for file in status.files} == {("src/привіт.py", "untracked"), ("- odd name.txt", "untracked")}
    first = await tools.diff(CALL, DiffWish())
    assert "+two" in first.diff
    assert {(file.path, file.added) for file in first.files} == {("src/привіт.py", 2), ("- odd name.txt", 1)}
    done = await tools.commit(CALL, CommitWish(message="First: 'quotes' and $(words)\n\nA body."))
    assert done.branch == "main"
    log = await tools.log(CALL, LogWish())
    (commit,) = log.commits
    assert (commit.id, commit.author, commit.subject, commit.body) == (done.commit, "tg:12345", "First: 'quotes' and $(words)", "A body.")
    assert (await tools.status(CALL, StatusWish())).clean


async def test_one_file_can_be_committed_without_the_others(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "a", "1\n")
    put(workspace, "b", "1\n")
    await tools.commit(CALL, CommitWish(message="only a", paths=("a",)))
    assert [file.path for file in (await tools.status(CALL, StatusWish())).files] == ["b"]
    with pytest.raises(Conflict, match="nothing to commit"):
        await tools.commit(CALL, CommitWish(message="again", paths=("a",)))
    (workspace.tree / "a").unlink()
    assert [(file.path, file.change) for file in (await tools.status(CALL, StatusWish())).files] == [("a", "deleted"), ("b", "untracked")]
    shown = await tools.diff(CALL, DiffWish(paths=("a",)))
    assert (shown.removed, "-1" in shown.diff) == (1, True)


async def test_a_commit_is_made_only_on_what_its_author_has_seen(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "a", "1\n")
    first = await tools.commit(CALL, CommitWish(message="first"))
    put(workspace, "a", "2\n")
    await tools.commit(CALL, CommitWish(message="second", if_head=first.commit))
    put(workspace, "a", "3\n")
    with pytest.raises(Conflict, match="Somebody else"):
        await tools.commit(CALL, CommitWish(message="third", if_head=first.commit))


async def test_a_branch_is_made_changed_and_merged(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "a", "1\n")
    await tools.commit(CALL, CommitWish(message="first"))
    await tools.branch(CALL, BranchWish(action="create", name="feature/one"))
    with pytest.raises(Conflict, match="already"):
        await tools.branch(CALL, BranchWish(action="create", name="feature/one"))
    switched = await tools.branch(CALL, BranchWish(action="switch", name="feature/one"))
    assert switched.current == "feature/one"
    put(workspace, "new", "from the branch\n")
    await tools.commit(CALL, CommitWish(message="on the branch"))
    await tools.branch(CALL, BranchWish(action="switch", name="main"))
    assert not (workspace.tree / "new").exists()
    between = await tools.diff(CALL, DiffWish(base="main", to="feature/one"))
    assert [file.path for file in between.files] == ["new"]
    merged = await tools.branch(CALL, BranchWish(action="merge", name="feature/one"))
    assert (workspace.tree / "new").read_text() == "from the branch\n"
    assert merged.merged == (await tools.log(CALL, LogWish())).commits[0].id
    await tools.branch(CALL, BranchWish(action="delete", name="feature/one"))
    assert [branch.name for branch in (await tools.branch(CALL, BranchWish())).branches] == ["main"]


async def test_changes_that_do_not_fit_together_are_refused_and_nothing_is_lost(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "a", "1\n")
    await tools.commit(CALL, CommitWish(message="first"))
    await tools.branch(CALL, BranchWish(action="create", name="other"))
    put(workspace, "a", "mine\n")
    await tools.commit(CALL, CommitWish(message="mine"))
    put(workspace, "a", "uncommitted\n")
    with pytest.raises(Conflict, match="overwritten"):
        await tools.branch(CALL, BranchWish(action="switch", name="other"))
    assert (workspace.tree / "a").read_text() == "uncommitted\n"
    put(workspace, "a", "mine\n")
    await tools.branch(CALL, BranchWish(action="switch", name="other"))
    put(workspace, "a", "theirs\n")
    await tools.commit(CALL, CommitWish(message="theirs"))
    with pytest.raises(Conflict, match="CONFLICT"):
        await tools.branch(CALL, BranchWish(action="merge", name="main"))
    assert (workspace.tree / "a").read_text() == "theirs\n"
    assert (await tools.status(CALL, StatusWish())).clean


async def test_merging_needs_the_right_to_commit(tools: GitTools) -> None:
    writer = Grant(dao_id="dao", user_id="tg:1", roles=("writer",), entitlements=MEMBER | {"devtools.write"})
    with pytest.raises(Denied):
        await tools.branch(Call(id="r", grant=writer, hear=lambda _: None), BranchWish(action="merge", name="x"))


@pytest.mark.parametrize(
    "name",
    ["-x", "--upload-pack=x", "a..b", "a b", "", "/a", "a/", "a.lock", ".a", "a/.b", "@{u}", "HEAD", "a~1", "a:b", "a\0b", "x" * 300],
)
async def test_what_is_no_branch_never_reaches_git(tools: GitTools, name: str) -> None:
    with pytest.raises(Invalid):
        await tools.branch(CALL, BranchWish(action="create", name=name))


@pytest.mark.parametrize("revision", ["--all", "-1", "HEAD..main", "main:a", ":/words", "@{-1}", "main^{/x}", "x" * 300, ""])
async def test_what_is_no_commit_never_reaches_git(tools: GitTools, revision: str) -> None:
    with pytest.raises(Invalid):
        await tools.log(CALL, LogWish(of=revision))


async def test_what_is_not_there_is_missing(tools: GitTools) -> None:
    assert (await tools.log(CALL, LogWish())).commits == ()
    with pytest.raises(Missing):
        await tools.log(CALL, LogWish(of="nowhere"))
    with pytest.raises(Missing):
        await tools.diff(CALL, DiffWish(base="deadbeef"))
    with pytest.raises(Missing):
        await tools.branch(CALL, BranchWish(action="switch", name="nowhere"))
    with pytest.raises(Missing, match="no commit here yet"):
        await tools.branch(CALL, BranchWish(action="create", name="early"))


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../b", "", "a\0b", "\udc80"])
async def test_a_path_stays_in_the_workspace(tools: GitTools, path: str) -> None:
    with pytest.raises(Invalid):
        await tools.diff(CALL, DiffWish(paths=(path,)))


async def test_a_path_is_no_pattern_and_no_option(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "a.txt", "1\n")
    put(workspace, ":(glob)*", "1\n")
    assert [file.path for file in (await tools.diff(CALL, DiffWish(paths=(":(glob)*",)))).files] == [":(glob)*"]
    assert (await tools.diff(CALL, DiffWish(paths=("--output=/workspace/tree/a.txt",)))).files == ()
    assert (workspace.tree / "a.txt").read_text() == "1\n"


async def test_hooks_filters_and_helpers_of_a_repository_do_not_run(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "a.txt", "1\n")
    await tools.commit(CALL, CommitWish(message="first"))
    # As if all of git's own directory had been brought under somebody's hand.
    hook = "#!/bin/sh\ntouch $GIT_WORK_TREE/OWNED\n"
    for name in ("pre-commit", "post-commit", "post-checkout", "prepare-commit-msg", "reference-transaction", "post-index-change"):
        (workspace.git / "hooks").mkdir(exist_ok=True)
        (workspace.git / "hooks" / name).write_text(hook)
        (workspace.git / "hooks" / name).chmod(0o755)
    own = "touch /workspace/tree/OWNED"
    (workspace.git / "config").write_text(
        f'[core]\n\tfsmonitor = "{own}"\n\tsshCommand = "{own}"\n\tpager = "{own}"\n'
        f'\teditor = "{own}"\n\thooksPath = /workspace/git/hooks\n'
        f'[diff]\n\texternal = "{own}"\n[filter "x"]\n\tclean = "{own}; cat"\n\tsmudge = "{own}; cat"\n\trequired = true\n'
        f'[diff "x"]\n\tcommand = "{own}"\n\ttextconv = "{own}"\n[merge "x"]\n\tdriver = "{own}"\n[alias]\n\tstatus = "!{own}"\n'
        f'[commit]\n\tgpgSign = true\n[gpg]\n\tprogram = "{own}"\n[include]\n\tpath = /workspace/tree/more\n'
    )
    (workspace.git / "info").mkdir(exist_ok=True)
    (workspace.git / "info" / "attributes").write_text("* filter=x diff=x merge=x\n")
    put(workspace, ".gitattributes", "* filter=x diff=x merge=x\n")
    put(workspace, "more", f'[core]\n\tpager = "{own}"\n')
    put(workspace, "a.txt", "2\n")
    await tools.status(CALL, StatusWish())
    await tools.diff(CALL, DiffWish())
    await tools.commit(CALL, CommitWish(message="second"))
    await tools.branch(CALL, BranchWish(action="create", name="b"))
    await tools.branch(CALL, BranchWish(action="switch", name="b"))
    put(workspace, "a.txt", "3\n")
    await tools.commit(CALL, CommitWish(message="third"))
    await tools.branch(CALL, BranchWish(action="switch", name="main"))
    await tools.branch(CALL, BranchWish(action="merge", name="b"))
    assert not (workspace.tree / "OWNED").exists()
    assert (workspace.tree / "a.txt").read_text() == "3\n"


async def test_a_history_that_grows_beyond_its_quota_is_refused_and_stays_as_it_was(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "a", "1\n")
    first = await tools.commit(CALL, CommitWish(message="first"))
    for number in range(4):
        (workspace.tree / "noise").write_bytes(os.urandom(1_500_000))
        try:
            await tools.commit(CALL, CommitWish(message=f"noise {number}"))
        except PayloadTooLarge:
            break
    else:
        pytest.fail("the history grew without end")
    log = await tools.log(CALL, LogWish())
    assert log.commits[-1].id == first.commit
    assert log.commits[0].subject == f"noise {number - 1}"


async def test_two_who_commit_at_once_both_commit(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "a", "1\n")
    put(workspace, "b", "1\n")
    await asyncio.gather(*(tools.commit(CALL, CommitWish(message=name, paths=(name,))) for name in ("a", "b")))
    assert sorted(commit.subject for commit in (await tools.log(CALL, LogWish())).commits) == ["a", "b"]


def host_git(*arguments: str, at: Path) -> None:
    quiet = {"HOME": str(at), "PATH": os.defpath, "GIT_CONFIG_NOSYSTEM": "1"}
    who = ("-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "init.defaultBranch=main", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *who, *arguments], cwd=at, env=quiet, check=True, capture_output=True)  # noqa: S603, S607


@contextmanager
def served(directory: Path) -> Generator[str]:
    """A repository over HTTP, as any web server gives it (git's "dumb" protocol)."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(directory)))
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/"
    server.shutdown()
    server.server_close()


@pytest.fixture
async def remote(tmp_path: Path) -> AsyncGenerator[str]:
    work, bare = tmp_path / "work", tmp_path / "served"
    work.mkdir()
    bare.mkdir()
    host_git("init", "-q", ".", at=work)
    (work / "README.md").write_text("from far away\n")
    (work / "link").symlink_to("/etc/passwd")
    host_git("add", "-A", at=work)
    host_git("commit", "-qm", "theirs", at=work)
    host_git("branch", "other", at=work)
    host_git("clone", "-q", "--bare", str(work), str(bare / "repo.git"), at=tmp_path)
    host_git("update-server-info", at=bare / "repo.git")
    with served(bare) as url:
        yield url


async def test_a_repository_is_fetched_with_its_history(
    store: DiskWorkspaces, workspace: DiskWorkspace, tools: GitTools, git: Git, remote: str
) -> None:
    del store
    async with Cloning(git, [remote]).clone(f"{remote}repo.git", workspace.quota) as ran, workspace.writing():
        await workspace.replace(ran.root, ("tree", "git"))
    assert (workspace.tree / "README.md").read_text() == "from far away\n"
    assert not (workspace.tree / ".git").exists()
    assert (workspace.tree / "link").is_symlink()
    (commit,) = (await tools.log(CALL, LogWish())).commits
    assert commit.subject == "theirs"
    assert (await tools.status(CALL, StatusWish())).clean
    assert remote not in (workspace.git / "config").read_text()


async def test_a_repository_that_is_not_there_or_too_large_leaves_nothing(git: Git, remote: str, tmp_path: Path) -> None:
    cloning = Cloning(git, [remote])
    with pytest.raises(Conflict, match="cannot be fetched"):
        async with cloning.clone(f"{remote}nowhere.git", Quota()):
            pass
    shutil.rmtree(tmp_path / "served" / "repo.git" / "objects")
    with pytest.raises(Conflict, match="cannot be fetched") as caught:
        async with cloning.clone(f"{remote}repo.git", Quota()):
            pass
    assert str(tmp_path) not in caught.value.message


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/greenfood/x",
        "https://git.example.evil/greenfood/x",
        "https://git.example/greenfoods/x",
        "http://git.example/greenfood/x",
        "https://git.example:444/greenfood/x",
    ],
)
async def test_what_an_operator_has_not_allowed_is_not_fetched(address: str) -> None:
    with pytest.raises(Denied):
        check_address(address, ["https://git.example/greenfood"])


@pytest.mark.parametrize(
    "address",
    [
        "https://user:secret@git.example/greenfood/x",
        "https://git.example/greenfood/../evil/x",
        "https://git.example/greenfood/%2e%2e/x",
        "https://git.example/greenfood/x?y",
        "https://git.example\\@evil.example/greenfood",
        "ssh://git.example/greenfood/x",
        "file:///etc",
        "git@git.example:greenfood/x",
        "ext::sh -c touch% /tmp/x",
        "--upload-pack=x",
        "https://git.example/greenfood/x\nhttps://evil.example/",
        "",
    ],
)
async def test_what_is_no_plain_address_is_refused(address: str) -> None:
    with pytest.raises((Invalid, Denied)):
        check_address(address, ["https://git.example/greenfood"])


async def test_what_is_allowed_is_taken_as_it_is() -> None:
    assert check_address("https://git.example/greenfood/x.git", ["https://git.example/greenfood"]) == "https://git.example/greenfood/x.git"


async def test_work_in_a_workspace_of_its_own_comes_back_as_a_branch(
    store: DiskWorkspaces, workspace: DiskWorkspace, tools: GitTools, git: Git
) -> None:
    kit = WorktreeTools(store, git)
    put(workspace, "a", "1\n")
    await tools.commit(CALL, CommitWish(message="first"))
    put(workspace, "b", "not committed\n")
    added = await kit.worktree(CALL, WorktreeWish(action="add", branch="agent/one"))
    other = await store.find("dao", added.workspace)
    assert {path.name for path in other.tree.iterdir()} == {"a", "b"}
    put(other, "a", "2\n")
    assert (workspace.tree / "a").read_text() == "1\n"
    done = await kit.worktree(CALL, WorktreeWish(action="finish", workspace=added.workspace, message="The agent's work"))
    assert (done.workspace, done.branch, [file.path for file in done.files]) == ("main", "agent/one", ["a"])
    with pytest.raises(Missing):
        await store.find("dao", added.workspace)
    assert done.base is not None
    shown = await tools.diff(CALL, DiffWish(base=done.base, to="agent/one"))
    assert "+2" in shown.diff
    assert (workspace.tree / "a").read_text() == "1\n"
    await tools.commit(CALL, CommitWish(message="mine"))
    await tools.branch(CALL, BranchWish(action="merge", name="agent/one"))
    assert (workspace.tree / "a").read_text() == "2\n"
    assert (workspace.tree / "b").read_text() == "not committed\n"


async def test_a_workspace_of_its_own_in_which_nothing_changed_leaves_no_branch(
    store: DiskWorkspaces, workspace: DiskWorkspace, git: Git
) -> None:
    kit = WorktreeTools(store, git)
    put(workspace, "a", "1\n")
    added = await kit.worktree(CALL, WorktreeWish(action="add", branch="idle"))
    done = await kit.worktree(CALL, WorktreeWish(action="finish", workspace=added.workspace))
    assert (done.branch, done.files) == (None, ())
    thrown = await kit.worktree(CALL, WorktreeWish(action="add", branch="thrown"))
    await kit.worktree(CALL, WorktreeWish(action="remove", workspace=thrown.workspace))
    assert [about.name for about in await store.list("dao")] == ["main"]
    with pytest.raises(Conflict, match="not made by git_worktree"):
        await kit.worktree(CALL, WorktreeWish(action="remove", workspace="main"))


async def test_nothing_is_left_of_a_workspace_of_its_own_that_nobody_waited_for(
    store: DiskWorkspaces, workspace: DiskWorkspace, git: Git
) -> None:
    kit = WorktreeTools(store, git)
    put(workspace, "a", "1\n")
    adding = asyncio.create_task(kit.worktree(CALL, WorktreeWish(action="add", branch="one")))
    await eventually((workspace.directory.parent / "main.one").is_dir)
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert [about.name for about in await store.list("dao")] == ["main"]
    assert (await kit.worktree(CALL, WorktreeWish(action="add", branch="one"))).workspace == "main.one"


async def test_a_workspace_that_only_says_it_was_made_as_a_branch_is_not_taken_for_one(store: DiskWorkspaces, git: Git) -> None:
    await store.create("dao", "odd", origin="branch of odd")
    for action in ("finish", "remove"):
        with pytest.raises(Conflict, match="not made by git_worktree"):
            await WorktreeTools(store, git).worktree(CALL, WorktreeWish(action=action, workspace="odd"))


async def test_what_git_cannot_read_is_told_and_not_taken_for_unchanged(tools: GitTools, workspace: DiskWorkspace) -> None:
    put(workspace, "a", "1\n")
    await tools.commit(CALL, CommitWish(message="first"))
    (workspace.git / "index").write_bytes(b"no index")
    for asked in (tools.status(CALL, StatusWish()), tools.diff(CALL, DiffWish())):
        with pytest.raises(Conflict, match="Git did not do it"):
            await asked


async def test_files_beside_a_submodule_can_be_committed(tools: GitTools, workspace: DiskWorkspace, tmp_path: Path) -> None:
    put(workspace, "a", "1\n")
    (workspace.tree / "sub").mkdir()
    await tools.commit(CALL, CommitWish(message="first"))
    (workspace.git / "config").write_bytes(CONFIG)
    host_git("--git-dir", str(workspace.git), "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub", at=tmp_path)
    put(workspace, "a", "2\n")
    assert (await tools.commit(CALL, CommitWish(message="second"))).files
    put(workspace, "a", "3\n")
    assert [file.path for file in (await tools.commit(CALL, CommitWish(message="third"))).files] == ["a"]


async def test_a_history_that_no_tool_could_read_is_not_taken(git: Git, tmp_path: Path) -> None:
    (tmp_path / "served").mkdir()
    host_git("init", "-q", "--bare", "--object-format=sha256", "repo.git", at=tmp_path / "served")
    host_git("update-server-info", at=tmp_path / "served" / "repo.git")
    host_git("init", "-q", "--object-format=sha256", "work", at=tmp_path)
    host_git("commit", "-qm", "one", "--allow-empty", at=tmp_path / "work")
    host_git("push", "-q", str(tmp_path / "served" / "repo.git"), "HEAD:main", at=tmp_path / "work")
    host_git("update-server-info", at=tmp_path / "served" / "repo.git")
    with served(tmp_path / "served") as remote, pytest.raises(Conflict, match="SHA-256"):
        async with Cloning(git, [remote]).clone(f"{remote}repo.git", Quota()):
            pass
