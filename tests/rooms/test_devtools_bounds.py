"""Bounds of the tools of files: time, output, the disk's own limits; and what callers are told of them."""

import errno
import os
from pathlib import Path

import pytest

from dagi.errors import Conflict, DagiError, Invalid, Missing, StoreError
from dagi.targets.devtools.files.searching import Search, SearchTakes
from dagi.targets.devtools.files.tree import opened, told
from dagi.targets.devtools.workspaces.copying import Copy
from dagi.targets.devtools.workspaces.kernel import open_beneath, open_by_walking
from dagi.testing.clock import FakeClock


def searched(directory: Path, *, cancelled_after: int = 1 << 30, second_a_look: float = 0.0, **params: object):
    """A search with a clock that goes on by so much at each look."""
    clock = FakeClock()
    looks = 0

    def cancelled() -> bool:
        nonlocal looks
        looks += 1
        clock.advance(second_a_look)
        return looks > cancelled_after

    with opened(directory, open_beneath) as tree:
        return Search(tree, SearchTakes(**params), cancelled, clock.monotonic).run()


def test_a_search_ends_in_time_and_says_so(tmp_path) -> None:
    for number in range(20):
        (tmp_path / f"{number:02}").write_text("needle\n")
    slow = searched(tmp_path, second_a_look=1.0, pattern="needle")
    assert (slow.searched, len(slow.hits), slow.stopped) == (5, 5, "time")
    cancelled = searched(tmp_path, cancelled_after=3, pattern="needle")
    assert (cancelled.searched, cancelled.stopped) == (3, "time")
    # Within one file of many lines as well.
    (tmp_path / "00").write_text("hay\n" * 100_000 + "needle\n")
    inside = searched(tmp_path, second_a_look=1.0, pattern="needle")
    assert (inside.searched, inside.hits, inside.stopped) == (1, [], "time")


def test_a_search_gives_no_more_than_can_be_read(tmp_path) -> None:
    for number in range(30):
        (tmp_path / f"{number:02}").write_text(("x" * 390 + "\n") * 1000)
    found = searched(tmp_path, pattern="x", context=10, max_results=1000)
    assert found.stopped == "bytes"
    assert sum(len(hit.text) + sum(map(len, (*hit.before, *hit.after))) for hit in found.hits) <= 256 << 10


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("ENOENT", Missing),
        ("ELOOP", Invalid),
        ("EXDEV", Invalid),
        ("ENOTDIR", Invalid),
        ("EISDIR", Invalid),
        ("ENAMETOOLONG", Invalid),
        ("ENXIO", Invalid),
        ("EEXIST", Conflict),
        ("ENOTEMPTY", Conflict),
        ("ENOSPC", StoreError),
        ("EDQUOT", StoreError),
        ("EIO", StoreError),
        ("EACCES", StoreError),
    ],
)
def test_what_the_disk_says_is_told_without_where_it_is(number, kind) -> None:
    code = getattr(errno, number)
    with pytest.raises(DagiError) as raised, told("params.path"):
        raise OSError(code, os.strerror(code), "/srv/dagi/workspaces/dao/main")
    assert type(raised.value) is kind
    assert "/" not in raised.value.message.replace("file or", "")
    assert raised.value.facts.get("field", "params.path") == "params.path"


def test_a_workspace_that_is_not_there_is_told_without_where_it_should_be(tmp_path) -> None:
    with pytest.raises(StoreError) as raised, opened(tmp_path / "none", open_beneath):
        pass
    assert str(tmp_path) not in raised.value.message


@pytest.mark.parametrize("opener", [open_beneath, open_by_walking], ids=["kernel", "walking"])
def test_a_copy_is_the_same_with_and_without_openat2(tmp_path, opener) -> None:
    source = tmp_path / "source" / "tree"
    (source / "sub").mkdir(parents=True)
    (source / "sub" / "link").symlink_to("../../nowhere")
    (source / "sub" / "file").write_bytes(os.urandom(3 << 20))
    os.utime(source / "sub" / "file", ns=(1, 1_000_000_001))
    root = os.open(tmp_path / "source", os.O_RDONLY)
    copy = Copy(lambda _: None, files=True, opener=opener)
    copy.make(root, "tree", tmp_path / "target")
    os.close(root)
    copied = tmp_path / "target" / "sub"
    assert (copied / "file").read_bytes() == (source / "sub" / "file").read_bytes()
    assert (copied / "file").stat().st_mtime_ns == 1_000_000_001
    assert str((copied / "link").readlink()) == "../../nowhere"
    assert copy.usage == (3 << 20, 3)
