"""The git tools."""

import shlex
from functools import partial
from typing import Any, Final

from dagi.errors import Conflict, Invalid, Missing, PayloadTooLarge
from dagi.message import Grant
from dagi.targets.devtools.git.forms import (
    Branches,
    BranchWish,
    Committed,
    CommitWish,
    Diff,
    DiffWish,
    Log,
    LogWish,
    Status,
    StatusWish,
)
from dagi.targets.devtools.git.names import check_branch, check_paths, check_revision
from dagi.targets.devtools.git.reading import BRANCH_FORMAT, LOG_FORMAT, read_branches, read_log, read_numbers, read_status
from dagi.targets.devtools.git.running import Git, Ran
from dagi.targets.devtools.tool import Call, Tool
from dagi.targets.devtools.workspaces.workspace import Workspaces

_NO_COMMIT: Final = 10
_NOTHING: Final = 11
_REFUSED: Final = 12
_EXISTS: Final = 13
_CHANGED: Final = 14
_MOST_STATUS: Final = 4 << 20

_STATUS: Final = 'git status --porcelain=v2 --branch -z --untracked-files=all >"$out/status"'
# New files are shown like others: git is told of them in the copy that it works on.
_DIFF: Final = f"""
base=$1; to=$2; lines=$3; shift 3
if [ "$base" = HEAD ] && ! commit_of HEAD >/dev/null; then base=$(git hash-object -t tree --stdin </dev/null)
else base=$(commit_of "$base") || exit {_NO_COMMIT}; fi
if [ -n "$to" ]; then to=$(commit_of "$to") || exit {_NO_COMMIT}
else git add --all --intent-to-add; fi
git diff --no-ext-diff --no-textconv --no-color "-U$lines" --src-prefix=a/ --dst-prefix=b/ "$base" $to -- "$@" >"$out/diff"
git diff --no-ext-diff --no-textconv --numstat -z --no-renames "$base" $to -- "$@" >"$out/numbers"
"""
_LOG: Final = f"""
of=$1; limit=$2; skip=$3; shift 3
if ! commit=$(commit_of "$of"); then [ "$of" = HEAD ] && exit 0; exit {_NO_COMMIT}; fi
set -- "--max-count=$limit" "--skip=$skip" "$commit" -- "$@"
git log --no-color --no-show-signature --no-ext-diff "--format={LOG_FORMAT}" "$@" >"$out/log"
"""
_COMMIT: Final = f"""
if [ -n "$1" ]; then
  wanted=$(commit_of "$1") || exit {_NO_COMMIT}
  [ "$(commit_of HEAD || true)" = "$wanted" ] || exit {_CHANGED}
fi
shift
git add --all -- "$@" || exit {_REFUSED}
git diff --cached --quiet -- "$@" && exit {_NOTHING}
# Where everything is meant nothing is named, for submodules, whose files are never here, cannot be.
if [ $# -gt 1 ] || [ "$1" != . ]; then set -- --only -- "$@"; else set --; fi
git commit --quiet --no-verify --no-edit --cleanup=whitespace --file=/workspace/in/message "$@" >&2 || exit {_REFUSED}
git rev-parse HEAD >"$out/commit"
git symbolic-ref --quiet --short HEAD >"$out/branch" || true
git diff-tree --root -r --numstat -z --no-renames --no-commit-id HEAD >"$out/numbers"
"""
_BRANCHES: Final = f"""
git for-each-ref "--format={BRANCH_FORMAT}" refs/heads >"$out/branches"
git symbolic-ref --quiet --short HEAD >"$out/current" || true
"""
_CREATE: Final = f"""
git show-ref --verify --quiet "refs/heads/$1" && exit {_EXISTS}
start=$(commit_of "${{2:-HEAD}}") || exit {_NO_COMMIT}
git branch --no-track "$1" "$start" >&2 || exit {_REFUSED}
"""
_KNOWN: Final = f'git show-ref --verify --quiet "refs/heads/$1" || exit {_NO_COMMIT}\n'
_SWITCH: Final = f'{_KNOWN}git switch --quiet --no-guess "$1" >&2 || exit {_REFUSED}\n'
_MERGE: Final = f"""
{_KNOWN}
git merge --quiet --no-ff --no-verify --no-edit -m "Merge $1" "refs/heads/$1" >/tmp/said 2>&1 || {{
  git diff --name-only --diff-filter=U | head -n 20 >&2; cat /tmp/said >&2; exit {_REFUSED}
}}
git rev-parse HEAD >"$out/commit"
"""
_DELETE: Final = f'{_KNOWN}git branch --quiet -D "$1" >&2 || exit {_REFUSED}\n'


class GitTools:
    """The git tools of all workspaces."""

    def __init__(self, workspaces: Workspaces, git: Git) -> None:
        self._workspaces = workspaces
        self._git = git

    def tools(self) -> tuple[Tool[Any, Any], ...]:
        """See `Kit`."""
        made = partial(Tool, runs=True)
        return (
            made(name="git_status", summary="Which files differ from the last commit.", takes=StatusWish, gives=Status, work=self.status),
            made(name="git_diff", summary="How files or commits differ, as a unified diff.", takes=DiffWish, gives=Diff, work=self.diff),
            made(name="git_log", summary="Earlier commits, the newest first.", takes=LogWish, gives=Log, work=self.log),
            made(
                name="git_commit",
                summary="Commit the changes of all files, or of some, on the current branch.",
                takes=CommitWish,
                gives=Committed,
                work=self.commit,
            ),
            made(
                name="git_branch",
                summary="List, create, switch, merge or delete branches.",
                takes=BranchWish,
                gives=Branches,
                work=self.branch,
            ),
        )

    async def status(self, call: Call, wish: StatusWish) -> Status:
        """`git_status`."""
        workspace = await self._workspaces.find(call.grant.dao_id, wish.workspace)
        async with workspace.reading(), self._git.run(workspace, _STATUS) as ran:
            require_done(ran, "")
            return read_status(ran.told("status", _MOST_STATUS))

    async def diff(self, call: Call, wish: DiffWish) -> Diff:
        """`git_diff`."""
        base, to = check_revision(wish.base, "params.base"), "" if wish.to is None else check_revision(wish.to, "params.to")
        arguments = (base, to, str(wish.context_lines), *(check_paths(wish.paths) or (".",)))
        workspace = await self._workspaces.find(call.grant.dao_id, wish.workspace)
        async with workspace.reading(), self._git.run(workspace, _DIFF, arguments) as ran:
            require_done(ran, f"{base} or {to}" if to else base)
            text, files = ran.told("diff", wish.max_bytes + 1), read_numbers(ran.told("numbers", _MOST_STATUS))
            return Diff(
                diff=text[: wish.max_bytes].decode(errors="replace"),
                files=files,
                added=sum(file.added or 0 for file in files),
                removed=sum(file.removed or 0 for file in files),
                cut=len(text) > wish.max_bytes,
            )

    async def log(self, call: Call, wish: LogWish) -> Log:
        """`git_log`."""
        of, paths = check_revision(wish.of, "params.of"), check_paths(wish.paths)
        workspace = await self._workspaces.find(call.grant.dao_id, wish.workspace)
        arguments = (of, str(wish.limit + 1), str(wish.skip), *paths)
        async with workspace.reading(), self._git.run(workspace, _LOG, arguments) as ran:
            require_done(ran, of)
            printed = ran.told("log", _MOST_STATUS)
            commits = read_log(printed)
            return Log(commits=commits[: wish.limit], more=len(commits) > wish.limit or len(printed) == _MOST_STATUS)

    async def commit(self, call: Call, wish: CommitWish) -> Committed:
        """`git_commit`."""
        if not wish.message.strip() or "\0" in wish.message:
            raise Invalid("A commit needs a message of text.", field="params.message")
        expected = "" if wish.if_head is None else check_revision(wish.if_head, "params.if_head")
        paths = check_paths(wish.paths) or (".",)
        workspace = await self._workspaces.find(call.grant.dao_id, wish.workspace)
        files = {"message": wish.message.encode(errors="replace")}
        async with workspace.writing(), self._git.run(workspace, signed(call.grant) + _COMMIT, (expected, *paths), files=files) as ran:
            if ran.status == _NOTHING:
                raise Conflict("There is nothing to commit: these files are as in the last commit.")
            if ran.status == _CHANGED:
                raise Conflict("Somebody else has committed meanwhile; look at git_log, and name the commit you have seen.")
            require_done(ran, expected)
            await workspace.replace(ran.root, ("git",))
            branch = ran.told("branch").decode(errors="replace").strip()
            return Committed(
                commit=ran.told("commit").decode().strip(), branch=branch or None, files=read_numbers(ran.told("numbers", _MOST_STATUS))
            )

    async def branch(self, call: Call, wish: BranchWish) -> Branches:
        """`git_branch`."""
        workspace = await self._workspaces.find(call.grant.dao_id, wish.workspace)
        if wish.action == "list":
            async with workspace.reading(), self._git.run(workspace, _BRANCHES) as ran:
                require_done(ran, "")
                return _branches(ran)
        if wish.name is None:
            raise Invalid(f"Name the branch to {wish.action}.", field="params.name")
        name = check_branch(wish.name)
        if wish.start is not None and wish.action != "create":
            raise Invalid("Only a new branch has a start.", field="params.start")
        if wish.action == "merge":
            call.grant.require("git.commit")
        scripts = {"create": _CREATE, "switch": _SWITCH, "merge": signed(call.grant) + _MERGE, "delete": _DELETE}
        start = "" if wish.start is None else check_revision(wish.start, "params.start")
        async with workspace.writing(), self._git.run(workspace, scripts[wish.action] + _BRANCHES, (name, start)) as ran:
            if ran.status == _EXISTS:
                raise Conflict(f"There is a branch {name} already.")
            require_done(ran, start or "HEAD" if wish.action == "create" else name)
            await workspace.replace(ran.root, ("git", "tree") if wish.action in {"switch", "merge"} else ("git",))
            return _branches(ran)


def signed(grant: Grant) -> str:
    """Whose commits these are, as the beginning of a script. The identity's own form allows nothing that the shell would read."""
    email = f"{grant.user_id.replace(':', '.')}@{grant.dao_id}.invalid"
    who = {"GIT_AUTHOR_NAME": grant.user_id, "GIT_AUTHOR_EMAIL": email, "GIT_COMMITTER_NAME": "DAGI Stack", "GIT_COMMITTER_EMAIL": email}
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in who.items())


def _branches(ran: Ran) -> Branches:
    _, branches = read_branches(ran.told("branches", _MOST_STATUS))
    current = ran.told("current").decode(errors="replace").strip()
    merged = ran.told("commit").decode(errors="replace").strip()
    return Branches(current=current or None, branches=branches, merged=merged or None)


def require_done(ran: Ran, named: str) -> None:
    """Go on where the script did what it should.

    Raises:
        Missing: there is no such commit or branch.
        Conflict: git has a reason not to.
    """
    if ran.status == 0:
        return
    if ran.ending == "disk":
        raise PayloadTooLarge("The files and their history are more than fits here.")
    if ran.status == _NO_COMMIT:
        raise Missing(f"There is no commit or branch {named} here." if named != "HEAD" else "There is no commit here yet.")
    raise Conflict(f"Git did not do it: {ran.complaint or 'it gave no reason'}")
