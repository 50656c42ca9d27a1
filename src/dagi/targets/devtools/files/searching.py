"""fs_search: lines of files that hold a text, or match an expression; in linear time, and not for longer than a bound."""

import time
from collections.abc import Callable, Iterator
from typing import Annotated, Final, Literal, Protocol, cast

import msgspec
import re2

from dagi.errors import DagiError, Invalid
from dagi.targets.devtools.files.globs import matcher
from dagi.targets.devtools.files.listing import Globs
from dagi.targets.devtools.files.paths import is_name, parse
from dagi.targets.devtools.files.tree import Tree, told, whole
from dagi.targets.devtools.tool import InWorkspace
from dagi.targets.devtools.workspaces.walking import Found, walk

_PATH: Final = "params.path"
_PATTERN: Final = "params.pattern"
_LARGEST: Final = 4 << 20
_LONGEST_LINE: Final = 400
_SHOWN: Final = 256 << 10
_SECONDS: Final = 5.0
_HEAD: Final = 8192
# Lines between two looks at the clock.
_LINES: Final = 2000


class SearchTakes(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What fs_search takes."""

    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=1000, description="The text, or the expression, within one line.")]
    regex: Annotated[bool, msgspec.Meta(description="It is a regular expression (RE2's syntax).")] = False
    case_sensitive: bool = True
    path: Annotated[str, msgspec.Meta(description="A directory or file; empty for the whole workspace.")] = ""
    include: Annotated[Globs, msgspec.Meta(description="Only files like these, for example *.py.")] = ()
    exclude: Annotated[Globs, msgspec.Meta(description="No files like these.")] = ()
    context: Annotated[int, msgspec.Meta(ge=0, le=10, description="Lines before and after.")] = 0
    max_results: Annotated[int, msgspec.Meta(ge=1, le=1000, description="At most so many lines.")] = 100


class Hit(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line that matches; `column` counts its characters from 1. Long lines are cut around the match."""

    path: str
    line: int
    column: int
    text: str
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()


class SearchGives(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What fs_search gives.

    Attributes:
        searched: how many files.
        stopped: why it ended before all were searched: at max_results, at a bound of its output, or of its time.
        skipped: how many files are too large or cannot be read.
    """

    hits: list[Hit]
    searched: int
    skipped: int = 0
    stopped: Literal["results", "bytes", "time"] | None = None


class _Match(Protocol):
    def start(self) -> int: ...


class _Pattern(Protocol):
    def search(self, text: bytes) -> _Match | None: ...


class _Stopped(Exception):
    """The search is at one of its bounds."""

    def __init__(self, why: Literal["results", "bytes", "time"]) -> None:
        super().__init__(why)
        self.why: Literal["results", "bytes", "time"] = why


class Search:
    """One search.

    Args:
        cancelled: asked now and then; the search ends when it says so.
    """

    def __init__(
        self, tree: Tree, wanted: SearchTakes, cancelled: Callable[[], bool], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._tree = tree
        self._wanted = wanted
        self._cancelled = cancelled
        self._monotonic = monotonic
        self._until = monotonic() + _SECONDS
        self._hits: list[Hit] = []
        self._shown = 0
        self._searched = 0
        self._skipped = 0
        self._line = _compiled(wanted.pattern, wanted)
        # The whole file is asked first, as most have no line that matches; where that would mean something else it is not.
        inside = wanted.regex and any(one in wanted.pattern for one in ("\\A", "\\z", "(?"))
        self._file = None if inside else _compiled(f"(?m:{wanted.pattern})" if wanted.regex else wanted.pattern, wanted)

    def run(self) -> SearchGives:
        """Search. In a thread, while somebody holds the workspace for reading.

        Raises:
            Invalid: of the path, the patterns or the expression.
            Missing: there is nothing of that path.
        """
        parts = parse(self._wanted.path, _PATH, root=True)
        included = matcher(self._wanted.include, "params.include") if self._wanted.include else None
        excluded = matcher(self._wanted.exclude, "params.exclude") if self._wanted.exclude else None
        stopped = None
        try:
            for path in self._files(parts):
                if (included is None or included(path)) and not (excluded is not None and excluded(path)):
                    self._search(path)
        except _Stopped as ending:
            stopped = ending.why
        return SearchGives(hits=self._hits, searched=self._searched, skipped=self._skipped, stopped=stopped)

    def _files(self, parts: tuple[str, ...]) -> Iterator[str]:
        base = "/".join(parts)
        with told(_PATH):
            try:
                with self._tree.directory(parts) as fd:
                    for found in walk(fd, into=_enterable, opener=self._tree.opener):
                        if found.kind == "file" and is_name(found.name):
                            yield f"{base}/{found.path}" if base else found.path
            except NotADirectoryError:
                with self._tree.file(base, _PATH):
                    pass
                yield base

    def _search(self, path: str) -> None:
        self._look_at_the_clock()
        try:
            with self._tree.file(path, _PATH) as (fd, state):
                if state.st_size > _LARGEST:
                    self._skipped += 1
                    return
                data = whole(fd, state.st_size)
        except (OSError, DagiError):
            # It went, or became a link, while we were on our way.
            self._skipped += 1
            return
        self._searched += 1
        if b"\0" in data[:_HEAD] or (self._file is not None and self._file.search(data) is None):
            return
        lines = data.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        for number, line in enumerate(lines):
            if number % _LINES == _LINES - 1:
                self._look_at_the_clock()
            match = self._line.search(line)
            if match is not None:
                self._keep(path, lines, number, match.start())

    def _keep(self, path: str, lines: list[bytes], number: int, start: int) -> None:
        if len(self._hits) == self._wanted.max_results:
            raise _Stopped("results")
        context = self._wanted.context
        hit = Hit(
            path=path,
            line=number + 1,
            column=len(lines[number][:start].decode(errors="replace")) + 1,
            text=_cut(lines[number], start),
            before=tuple(_cut(line, 0) for line in lines[max(0, number - context) : number]),
            after=tuple(_cut(line, 0) for line in lines[number + 1 : number + 1 + context]),
        )
        self._shown += len(path) + len(hit.text) + sum(map(len, hit.before)) + sum(map(len, hit.after))
        if self._shown > _SHOWN:
            raise _Stopped("bytes")
        self._hits.append(hit)

    def _look_at_the_clock(self) -> None:
        if self._cancelled() or self._monotonic() > self._until:
            raise _Stopped("time")


def _enterable(found: Found) -> bool:
    return is_name(found.name)


def _cut(line: bytes, start: int) -> str:
    begin = max(0, start - _LONGEST_LINE // 2) if len(line) > _LONGEST_LINE else 0
    return line[begin : begin + _LONGEST_LINE].decode(errors="replace").removesuffix("\r")


def _compiled(pattern: str, wanted: SearchTakes) -> _Pattern:
    options = re2.Options()
    options.log_errors = False
    options.literal = not wanted.regex
    options.case_sensitive = wanted.case_sensitive
    try:
        return cast("_Pattern", re2.compile(pattern.encode(), options))
    except UnicodeEncodeError:
        raise Invalid("The pattern has half a character (a lone surrogate).", field=_PATTERN) from None
    except re2.error as error:
        why = error.args[0] if error.args else b""
        shown = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
        raise Invalid(f"It is no expression of RE2: {shown[:200]}.", field=_PATTERN) from None
