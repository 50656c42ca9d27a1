"""`git_worktree`: a workspace of its own for a new branch, whose work comes back as that branch and as nothing else.

Git's own worktrees share one directory; here each is a workspace like any other, with a copy of the history, so that what happens in one
cannot be seen or broken from another. Files that were not committed yet come along: the branch begins with a commit of them.
"""

import asyncio
import re
from typing import Any, Final, Protocol

from dagi.errors import Conflict, Invalid, PayloadTooLarge
from dagi.targets.devtools.git.forms import Worktree, WorktreeWish
from dagi.targets.devtools.git.names import check_branch
from dagi.targets.devtools.git.reading import read_numbers
from dagi.targets.devtools.git.running import CONFIG, GIT, TREE, Git, Ran, bounds_of
from dagi.targets.devtools.git.tools import require_done, signed
from dagi.targets.devtools.sandbox.job import WORKSPACE, Place
from dagi.targets.devtools.tool import Call, Tool
from dagi.targets.devtools.workspaces.workspace import Workspace, Workspaces

ORIGIN: Final = "branch of "
_BASE: Final = "refs/dagi/base"
_EXISTS: Final = 13
_UNCHANGED: Final = 15
_THEIRS: Final = f"{WORKSPACE}/theirs"
_LONGEST: Final = 64
_OUT: Final = 1 << 20
_ADD: Final = f"""
git show-ref --verify --quiet "refs/heads/$1" && exit {_EXISTS}
git switch --quiet --create "$1" 2>/dev/null || git symbolic-ref HEAD "refs/heads/$1"
git add --all
if ! commit_of HEAD >/dev/null || ! git diff --cached --quiet; then
  git commit --quiet --no-verify --allow-empty --message "Files that were not committed when the branch began"
fi
git update-ref {_BASE} HEAD
git rev-parse HEAD >"$out/commit"
"""
_FINISH: Final = f"""
ours=$GIT_DIR
export GIT_DIR={_THEIRS}
branch=$(git symbolic-ref --short HEAD); base=$(git rev-parse {_BASE})
git add --all
git diff --cached --quiet || git commit --quiet --no-verify --cleanup=whitespace --file=/workspace/in/message
git rev-parse HEAD >"$out/commit"
[ "$(git rev-parse HEAD)" != "$base" ] || exit {_UNCHANGED}
git diff-tree -r --numstat -z --no-renames --no-commit-id "$base" HEAD >"$out/numbers"
printf %s "$branch" >"$out/branch"
printf %s "$base" >"$out/base"
export GIT_DIR=$ours
git show-ref --verify --quiet "refs/heads/$branch" && exit {_EXISTS}
git fetch --quiet --no-tags --no-write-fetch-head --no-auto-gc {_THEIRS} "refs/heads/$branch:refs/heads/$branch" >&2
"""


class Making(Workspaces, Protocol):
    """Workspaces that can be made and removed."""

    async def create(self, dao_id: str, name: str, *, made_by: str = "", origin: str = "") -> Workspace:
        """Make an empty one. Raises Invalid, Conflict."""
        ...

    async def delete(self, dao_id: str, name: str) -> None:
        """Remove one. Raises Missing."""
        ...

    async def origin(self, dao_id: str, name: str) -> str:
        """What it was made from. Raises Missing."""
        ...


class WorktreeTools:
    """The kit."""

    def __init__(self, workspaces: Making, git: Git) -> None:
        self._workspaces = workspaces
        self._git = git

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        """See `Kit`."""
        summary = "Work on a new branch in a workspace of its own, and bring the branch back."
        return (Tool(name="git_worktree", summary=summary, takes=WorktreeWish, gives=Worktree, work=self.worktree, runs=True),)

    async def worktree(self, call: Call, wish: WorktreeWish) -> Worktree:
        """`git_worktree`."""
        if wish.action == "add":
            return await self._add(call, wish)
        dao_id = call.grant.dao_id
        origin = await self._workspaces.origin(dao_id, wish.workspace)
        # Whoever makes a workspace says where it comes from; its name says the same only where it was made here.
        if not origin.startswith(ORIGIN) or not wish.workspace.startswith(f"{origin.removeprefix(ORIGIN)}."):
            raise Conflict(f"The workspace {wish.workspace} was not made by git_worktree.")
        if wish.action == "finish":
            return await self._finish(call, wish, origin.removeprefix(ORIGIN))
        await self._workspaces.delete(dao_id, wish.workspace)
        return Worktree(workspace=origin.removeprefix(ORIGIN), branch=None)

    async def _add(self, call: Call, wish: WorktreeWish) -> Worktree:
        if wish.branch is None:
            raise Invalid("Name the new branch.", field="params.branch")
        branch, dao_id = check_branch(wish.branch, "params.branch"), call.grant.dao_id
        workspace = await self._workspaces.find(dao_id, wish.workspace)
        async with workspace.reading(), self._git.run(workspace, signed(call.grant) + _ADD, (branch,)) as ran:
            if ran.status == _EXISTS:
                raise Conflict(f"There is a branch {branch} already.")
            require_done(ran, "HEAD")
            name, origin = _named(wish.workspace, branch), ORIGIN + wish.workspace
            making = asyncio.ensure_future(self._workspaces.create(dao_id, name, made_by=call.grant.user_id, origin=origin))
            filled = False
            try:
                made = await asyncio.shield(making)
                async with made.writing():
                    await made.replace(ran.root, ("tree", "git"))
                filled = True
            finally:
                # Also when its caller has gone: an empty one would be in the way of the next try, and could not be finished.
                if not filled and (await asyncio.wait({making}))[0] and making.exception() is None:
                    await self._workspaces.delete(dao_id, name)
            commit = _text(ran, "commit")
        return Worktree(workspace=name, branch=branch, base=commit, commit=commit)

    async def _finish(self, call: Call, wish: WorktreeWish, home: str) -> Worktree:
        dao_id = call.grant.dao_id
        theirs, ours = await self._workspaces.find(dao_id, wish.workspace), await self._workspaces.find(dao_id, home)
        # Always in this order, so that nobody waits for somebody who waits for them: a branch's workspace has no branches of its own.
        async with ours.writing(), theirs.writing():
            places = [
                Place(path=TREE, source=theirs.tree),
                Place(path=GIT, source=ours.git if ours.git.is_dir() else None, files={"config": CONFIG} if ours.git.is_dir() else {}),
                Place(path=_THEIRS, source=theirs.git, files={"config": CONFIG}),
                Place(path=f"{WORKSPACE}/in", files={"message": wish.message.encode(errors="replace")}),
            ]
            script, settings = signed(call.grant) + _FINISH, {"protocol.file.allow": "always"}
            async with self._git.script(places, script, bounds=bounds_of(ours.quota), settings=settings) as ran:
                if ran.status == _EXISTS:
                    raise Conflict(f"The workspace {home} has a branch of that name by now; remove that one, or this workspace.")
                if ran.status != _UNCHANGED:
                    require_done(ran, "HEAD")
                    await ours.replace(ran.root, ("git",))
                unchanged = ran.status == _UNCHANGED
                done = Worktree(
                    workspace=home,
                    branch=None if unchanged else _text(ran, "branch"),
                    base=None if unchanged else _text(ran, "base"),
                    commit=None if unchanged else _text(ran, "commit"),
                    files=() if unchanged else read_numbers(ran.told("numbers", _OUT)),
                )
        await self._workspaces.delete(dao_id, wish.workspace)
        return done


def _named(workspace: str, branch: str) -> str:
    """A workspace's name for a branch."""
    slug = re.sub(r"[^a-z0-9]+", "-", branch.lower()).strip("-") or "branch"
    name = f"{workspace}.{slug}"
    if len(name) > _LONGEST:
        raise PayloadTooLarge("The workspace's name and the branch's are too long together; take a shorter one for the branch.")
    return name


def _text(ran: Ran, name: str) -> str:
    return ran.told(name).decode(errors="replace").strip()
