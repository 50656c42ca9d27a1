"""Reading what git prints for programs. Names and messages come from whoever made the commits."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from dagi.targets.devtools.git.forms import Branch, Changed, Commit, FileDiff, Status

Change = Literal["added", "modified", "deleted", "renamed", "copied", "type_changed", "untracked", "unmerged"]
_CHANGES: Final[Mapping[str, Change]] = {
    "A": "added",
    "M": "modified",
    "D": "deleted",
    "R": "renamed",
    "C": "copied",
    "T": "type_changed",
}
_MOST_FILES: Final = 1_000
_LONGEST_BODY: Final = 10_000
# Fields of `git log`, each with a NUL behind it, for no message holds one.
LOG_FORMAT: Final = "%H%x00%P%x00%an%x00%aI%x00%s%x00%b%x00"
_LOG_FIELDS: Final = 6
BRANCH_FORMAT: Final = "%(refname:lstrip=2)%00%(objectname)%00%(contents:subject)%00%(HEAD)%00"
_BRANCH_FIELDS: Final = 4


def read_status(printed: bytes) -> Status:
    """`git status --porcelain=v2 --branch -z` (git-status(1), Porcelain Format Version 2)."""
    branch: str | None = None
    commit: str | None = None
    files: list[Changed] = []
    entries = iter(_texts(printed))
    for entry in entries:
        if entry.startswith("# branch.oid "):
            named = entry.removeprefix("# branch.oid ")
            commit = None if named == "(initial)" else named
        elif entry.startswith("# branch.head "):
            named = entry.removeprefix("# branch.head ")
            branch = None if named == "(detached)" else named
        elif entry[:2] in {"1 ", "2 ", "u ", "? "}:
            files.append(_changed(entry, entries))
    return Status(branch=branch, commit=commit, clean=not files, files=tuple(files[:_MOST_FILES]), cut=len(files) > _MOST_FILES)


def _changed(entry: str, rest: Iterator[str]) -> Changed:
    kind = entry[0]
    if kind == "?":
        return Changed(path=entry[2:], change="untracked")
    if kind == "u":
        return Changed(path=entry.split(" ", 10)[10], change="unmerged")
    letters = entry.split(" ", 2)[1]
    letter = letters[1] if letters[1] != "." else letters[0]
    if kind == "2":
        return Changed(path=entry.split(" ", 9)[9], change=_CHANGES.get(letter, "renamed"), earlier_path=next(rest, None))
    return Changed(path=entry.split(" ", 8)[8], change=_CHANGES.get(letter, "modified"))


def read_numbers(printed: bytes) -> tuple[FileDiff, ...]:
    """`git diff --numstat -z --no-renames`."""
    found: list[FileDiff] = []
    for entry in _texts(printed):
        added, removed, path = entry.split("\t", 2)
        binary = added == "-"
        found.append(FileDiff(path=path, added=None if binary else int(added), removed=None if binary else int(removed), binary=binary))
    return tuple(found)


def read_log(printed: bytes) -> tuple[Commit, ...]:
    """`git log --format=LOG_FORMAT`."""
    commits: list[Commit] = []
    for commit, parents, author, at, subject, body in _rows(printed, _LOG_FIELDS):
        commits.append(
            Commit(
                id=commit.strip(),
                parents=tuple(parents.split()),
                author=author,
                at=at,
                subject=subject,
                body=body.strip()[:_LONGEST_BODY],
            )
        )
    return tuple(commits)


def read_branches(printed: bytes) -> tuple[str | None, tuple[Branch, ...]]:
    """`git for-each-ref --format=BRANCH_FORMAT refs/heads`: the current one, and all."""
    current: str | None = None
    branches: list[Branch] = []
    for name, commit, subject, head in _rows(printed, _BRANCH_FIELDS):
        branches.append(Branch(name=name.strip(), commit=commit, subject=subject))
        if head == "*":
            current = name.strip()
    return current, tuple(branches)


def _rows(printed: bytes, fields: int) -> Iterator[list[str]]:
    texts = printed.decode(errors="replace").split("\0")
    for at in range(0, len(texts) - fields, fields):
        yield texts[at : at + fields]


def _texts(printed: bytes) -> list[str]:
    # What has no NUL behind it was cut off where its reader would read no more.
    return [text for text in printed.decode(errors="replace").split("\0")[:-1] if text]
