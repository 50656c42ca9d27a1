"""What the git tools take and give."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from dagi.targets.devtools.tool import InWorkspace

Paths = Annotated[tuple[str, ...], Meta(description="Only these files and directories of the workspace; everything where empty.")]
MOST_BYTES = 1 << 20


class StatusWish(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`git_status`."""


class Changed(Struct, frozen=True, kw_only=True):
    """A file that differs from the last commit."""

    path: str
    change: Literal["added", "modified", "deleted", "renamed", "copied", "type_changed", "untracked", "unmerged"]
    earlier_path: str | None = None


class Status(Struct, frozen=True, kw_only=True):
    """How the files differ from the last commit."""

    branch: Annotated[str | None, Meta(description="The current branch; null where a commit is looked at that no branch names.")]
    commit: Annotated[str | None, Meta(description="The last commit's id; null before the first one.")]
    clean: bool
    files: tuple[Changed, ...]
    cut: Annotated[bool, Meta(description="There are more files than are listed.")]


class DiffWish(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`git_diff`."""

    base: Annotated[str, Meta(description="The commit to compare with, the last one by default.")] = "HEAD"
    to: Annotated[str | None, Meta(description="The commit that is compared; the files as they are where left out.")] = None
    paths: Paths = ()
    context_lines: Annotated[int, Meta(ge=0, le=100)] = 3
    max_bytes: Annotated[int, Meta(ge=1, le=MOST_BYTES, description="Of the diff.")] = 256 << 10


class FileDiff(Struct, frozen=True, kw_only=True):
    """How much of a file differs; no lines are counted of one that is no text."""

    path: str
    added: int | None
    removed: int | None
    binary: bool


class Diff(Struct, frozen=True, kw_only=True):
    """A unified diff."""

    diff: str
    files: tuple[FileDiff, ...]
    added: int
    removed: int
    cut: Annotated[bool, Meta(description="The diff is longer than what is shown.")]


class LogWish(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`git_log`."""

    of: Annotated[str, Meta(description="The commit to begin with: a branch, a tag or an id.")] = "HEAD"
    paths: Paths = ()
    limit: Annotated[int, Meta(ge=1, le=200)] = 20
    skip: Annotated[int, Meta(ge=0, le=100_000)] = 0


class Commit(Struct, frozen=True, kw_only=True):
    """A commit. `at` is when it was written (RFC 3339)."""

    id: str
    parents: tuple[str, ...]
    author: str
    at: str
    subject: str
    body: str


class Log(Struct, frozen=True, kw_only=True):
    """Commits, the newest first."""

    commits: tuple[Commit, ...]
    more: Annotated[bool, Meta(description="There are earlier ones.")]


class CommitWish(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`git_commit`."""

    message: Annotated[str, Meta(min_length=1, max_length=10_000)]
    paths: Paths = ()
    if_head: Annotated[str | None, Meta(description="Commit only where this is still the last commit.")] = None


class Committed(Struct, frozen=True, kw_only=True):
    """What was committed."""

    commit: str
    branch: str | None
    files: tuple[FileDiff, ...]


class BranchWish(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`git_branch`."""

    action: Annotated[
        Literal["list", "create", "switch", "merge", "delete"],
        Meta(description="`merge` brings a branch into the current one, and needs git.commit too."),
    ] = "list"
    name: Annotated[str | None, Meta(description="The branch; needed for all but `list`.")] = None
    start: Annotated[str | None, Meta(description="Where a new branch begins; at the last commit where left out.")] = None


class Branch(Struct, frozen=True, kw_only=True):
    """A branch and its last commit."""

    name: str
    commit: str
    subject: str


class Branches(Struct, frozen=True, kw_only=True):
    """All branches."""

    current: str | None
    branches: tuple[Branch, ...]
    merged: Annotated[str | None, Meta(description="After `merge`: the commit that holds both.")] = None


class WorktreeWish(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`git_worktree`."""

    action: Annotated[
        Literal["add", "finish", "remove"],
        Meta(
            description="`add` makes a workspace of its own on a new branch of this one; `finish` commits what was changed there, "
            "brings the branch back and removes that workspace; `remove` throws it away."
        ),
    ]
    branch: Annotated[str | None, Meta(description="For `add`: the new branch.")] = None
    message: Annotated[str, Meta(min_length=1, max_length=10_000, description="For `finish`: of the commit.")] = "Changes"


class Worktree(Struct, frozen=True, kw_only=True):
    """What was done."""

    workspace: Annotated[str, Meta(description="After `add` the new workspace, otherwise the one that has the branch now.")]
    branch: Annotated[str | None, Meta(description="The branch; null where nothing was changed, so that none was brought back.")]
    base: Annotated[str | None, Meta(description="The commit the branch began with.")] = None
    commit: Annotated[str | None, Meta(description="The branch's last commit.")] = None
    files: Annotated[tuple[FileDiff, ...], Meta(description="What differs between both.")] = ()
