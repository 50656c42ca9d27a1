"""The tools of files as their callers see them."""

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import msgspec
import pytest

from dagi.errors import Conflict, Invalid, Missing, PayloadTooLarge, PreconditionFailed
from dagi.message import Grant
from dagi.targets.devtools.files.kit import FileTools
from dagi.targets.devtools.files.reading import ReadTakes
from dagi.targets.devtools.files.writing import WriteTakes
from dagi.targets.devtools.tool import Call
from dagi.targets.devtools.workspaces.kernel import open_beneath, open_by_walking
from dagi.targets.devtools.workspaces.store import DiskWorkspaces
from dagi.targets.devtools.workspaces.workspace import Quota, Usage
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio
DAO = "greenfood-dao"
CALL = Call(id="r1", grant=Grant(dao_id=DAO, user_id="tg:12345"), hear=lambda _: None)
QUOTA = Quota(bytes=1 << 20, files=110)

Ask = Callable[..., Awaitable[Mapping[str, object]]]


@pytest.fixture
async def store(tmp_path: Path) -> DiskWorkspaces:
    made = DiskWorkspaces(tmp_path / "workspaces", FakeClock(), quota=QUOTA)
    await made.open()
    return made


@pytest.fixture(params=[open_beneath, open_by_walking], ids=["kernel", "walking"])
def ask(request, store) -> Ask:
    """Call a tool as a caller does: JSON in, JSON out."""
    tools = {tool.name: tool for tool in FileTools(store, opener=request.param).tools()}

    async def asked(name: str, **params: object) -> Mapping[str, object]:
        tool = tools[name]
        wanted = msgspec.json.decode(json.dumps(params).encode(), type=tool.takes)
        return json.loads(msgspec.json.encode(await tool.work(CALL, wanted)))

    return asked


def tree(store: DiskWorkspaces, tmp_path: Path) -> Path:
    return tmp_path / "workspaces" / DAO / "main" / "work" / "tree"


async def test_every_tool_has_a_right_and_says_what_it_takes_and_gives(store) -> None:
    infos = [tool.info() for tool in FileTools(store).tools()]
    assert [(info.name, info.entitlement, info.runs) for info in infos] == [
        ("fs_read", "devtools.read", False),
        ("fs_write", "devtools.write", False),
        ("fs_list", "devtools.read", False),
        ("fs_search", "devtools.read", False),
        ("fs_move", "devtools.write", False),
        ("fs_delete", "devtools.write", False),
    ]
    assert json.loads(msgspec.json.encode(infos))


async def test_what_is_written_is_read_and_the_first_write_makes_the_workspace(ask, store) -> None:
    with pytest.raises(Missing):
        await ask("fs_read", path="a.txt")
    written = await ask("fs_write", path="src/deep/a.txt", content="one\ntwo\n")
    read = await ask("fs_read", path="./src/deep/a.txt")
    assert read == {
        "path": "src/deep/a.txt",
        "encoding": "utf-8",
        "content": "one\ntwo\n",
        "size": 8,
        "etag": written["etag"],
        "total_lines": 2,
        "first_line": 1,
        "last_line": 2,
    }
    assert written["created"] is True
    assert written["diff"] == "--- a/src/deep/a.txt\n+++ b/src/deep/a.txt\n@@ -0,0 +1,2 @@\n+one\n+two\n"
    assert await store.usage(DAO, "main") == Usage(8, 3)
    assert (await store.about(DAO, "main")).made_by == "tg:12345"
    with pytest.raises(Missing):
        await ask("fs_write", workspace="other", path="a", content="x")


async def test_lines_are_read_by_their_numbers(ask) -> None:
    await ask("fs_write", path="a", content="".join(f"line {number}\n" for number in range(1, 11)) + "end")
    read = await ask("fs_read", path="a", first_line=3, last_line=4, numbered=True)
    assert read["content"] == "     3\tline 3\n     4\tline 4\n"
    assert (read["first_line"], read["last_line"], read["next_line"], read["total_lines"]) == (3, 4, 5, 11)
    assert (await ask("fs_read", path="a", first_line=11))["content"] == "end"
    assert (await ask("fs_read", path="a", first_line=10, last_line=99, numbered=True))["content"] == "    10\tline 10\n    11\tend"
    for wrong in ({"first_line": 12}, {"first_line": 4, "last_line": 3}, {"first_line": 1, "offset": 0}):
        with pytest.raises(Invalid):
            await ask("fs_read", path="a", **wrong)


async def test_a_read_is_bounded_and_says_where_to_go_on(ask) -> None:
    text = "".join(f"рядок {number}\n" for number in range(200)) + "є" * 999
    await ask("fs_write", path="a", content=text)
    by_line, line = "", 1
    while line:
        part = await ask("fs_read", path="a", first_line=line, max_bytes=100)
        by_line += str(part["content"])
        line = part.get("next_line", 0)
    assert text.startswith(by_line)
    assert len(by_line) > len(text) - 999
    for size in (1, 3, 100):
        joined, offset = "", 4300
        while offset is not None:
            part = await ask("fs_read", path="a", offset=offset, max_bytes=size)
            assert part["encoding"] == "utf-8"
            joined += str(part["content"])
            offset = part.get("next_offset")
        assert joined.encode() == text.encode()[4300:]


async def test_what_is_no_text_comes_as_base64(ask) -> None:
    data = bytes(range(256)) * 4
    await ask("fs_write", path="a.bin", base64=base64.b64encode(data).decode())
    read = await ask("fs_read", path="a.bin")
    assert read["encoding"] == "base64"
    assert base64.b64decode(str(read["content"])) == data
    part = await ask("fs_read", path="a.bin", offset=1000, max_bytes=10)
    assert base64.b64decode(str(part["content"])) == data[1000:1010]
    assert part["next_offset"] == 1010
    with pytest.raises(Invalid):
        await ask("fs_read", path="a.bin", first_line=1)
    with pytest.raises(Invalid):
        await ask("fs_write", path="a.bin", edits=[{"old": "a", "new": "b"}])


async def test_an_empty_file_has_no_lines(ask) -> None:
    await ask("fs_write", path="a", content="")
    read = await ask("fs_read", path="a", numbered=True)
    assert (read["content"], read["total_lines"], read["size"]) == ("", 0, 0)


async def test_edits_and_patches_change_a_file_and_keep_its_mode(ask, store, tmp_path) -> None:
    await ask("fs_write", path="run.sh", content="#!/bin/sh\necho one\n")
    file = tree(store, tmp_path) / "run.sh"
    file.chmod(0o755)
    edited = await ask("fs_write", path="run.sh", edits=[{"old": "one", "new": "two"}, {"old": "echo", "new": "printf"}])
    assert edited["diff"] == "--- a/run.sh\n+++ b/run.sh\n@@ -1,2 +1,2 @@\n #!/bin/sh\n-echo one\n+printf two\n"
    patched = await ask("fs_write", path="run.sh", patch="@@ -2 +2,2 @@\n printf two\n+exit 0\n", if_match=edited["etag"])
    assert file.read_text() == "#!/bin/sh\nprintf two\nexit 0\n"
    assert file.stat().st_mode & 0o777 == 0o755
    assert patched["created"] is False
    with pytest.raises(Conflict):
        await ask("fs_write", path="run.sh", patch="@@ -2 +2 @@\n-printf one\n+exit 0\n")
    created = await ask("fs_write", path="new", patch="--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+hello\n")
    assert created["created"] is True
    with pytest.raises(Missing):
        await ask("fs_write", path="none", edits=[{"old": "a", "new": "b"}])


async def test_a_file_that_changed_meanwhile_is_not_written_over(ask) -> None:
    first = await ask("fs_write", path="a", content="one", if_none_match="*")
    with pytest.raises(PreconditionFailed) as told:
        await ask("fs_write", path="a", content="two", if_none_match="*")
    assert told.value.facts["etag"] == first["etag"]
    second = await ask("fs_write", path="a", content="two", if_match=first["etag"])
    with pytest.raises(PreconditionFailed) as told:
        await ask("fs_write", path="a", content="three", if_match=first["etag"])
    assert told.value.facts["etag"] == second["etag"]
    with pytest.raises(PreconditionFailed):
        await ask("fs_write", path="none", content="x", if_match="*")
    with pytest.raises(PreconditionFailed):
        await ask("fs_delete", path="a", if_match=first["etag"])
    assert (await ask("fs_read", path="a"))["content"] == "two"


async def test_a_write_has_one_form(ask) -> None:
    for forms in ({}, {"content": "a", "base64": "YQ=="}, {"base64": "no base64!"}, {"content": "\ud800"}, {"edits": []}):
        with pytest.raises((Invalid, Missing, msgspec.DecodeError)):
            await ask("fs_write", path="a", **forms)
    for wrong in ({"path": "a", "contents": "x"}, {"content": "x"}, {"path": 1, "content": "x"}):
        with pytest.raises(msgspec.ValidationError):
            await ask("fs_write", **wrong)


async def test_a_directory_is_listed_as_deep_as_asked(ask, store, tmp_path) -> None:
    for path in ("b.py", "a.md", "src/x.py", "src/deep/y.py"):
        await ask("fs_write", path=path, content="12345")
    (tree(store, tmp_path) / "link").symlink_to("/etc")
    (tree(store, tmp_path) / "odd\x1b[2J").touch()
    listed = await ask("fs_list")
    assert listed == {
        "path": "",
        "entries": [
            {"path": "a.md", "kind": "file", "size": 5},
            {"path": "b.py", "kind": "file", "size": 5},
            {"path": "link", "kind": "link"},
            {"path": "src", "kind": "directory"},
        ],
        "more": False,
        "unnamed": 1,
    }
    deep = await ask("fs_list", path="src", depth=9)
    assert [entry["path"] for entry in deep["entries"]] == ["src/deep", "src/x.py", "src/deep/y.py"]
    found = await ask("fs_list", depth=9, glob="**/*.py", max_entries=2)
    assert ([entry["path"] for entry in found["entries"]], found["more"]) == (["b.py", "src/x.py"], True)
    for path, error in (("none", Missing), ("a.md", Invalid), ("link", Invalid)):
        with pytest.raises(error):
            await ask("fs_list", path=path)


async def test_text_is_found_with_what_is_around_it(ask) -> None:
    await ask("fs_write", path="a.py", content="def one():\n    return Скарб\n\ndef two():\n    pass\n")
    await ask("fs_write", path="docs/b.md", content="the скарб\n" + "x" * 1000 + "needle" + "y" * 1000 + "\n")
    await ask("fs_write", path="c.bin", base64=base64.b64encode(b"\0needle").decode())
    found = await ask("fs_search", pattern="Скарб", context=1)
    assert found["hits"] == [
        {"path": "a.py", "line": 2, "column": 12, "text": "    return Скарб", "before": ["def one():"], "after": [""]},
    ]
    assert found["searched"] == 3
    both = await ask("fs_search", pattern="скарб", case_sensitive=False)
    assert [hit["path"] for hit in both["hits"]] == ["a.py", "docs/b.md"]
    (needle,) = (await ask("fs_search", pattern="needle"))["hits"]
    assert (needle["path"], needle["column"], len(needle["text"])) == ("docs/b.md", 1001, 400)
    assert "needle" in needle["text"]
    functions = await ask("fs_search", pattern=r"^def (\w+)\(\):$", regex=True, include=["*.py"], max_results=1)
    assert ([hit["line"] for hit in functions["hits"]], functions["stopped"]) == ([1], "results")
    assert (await ask("fs_search", pattern="def", exclude=["*.py"]))["hits"] == []
    assert [hit["line"] for hit in (await ask("fs_search", pattern="def", path="a.py"))["hits"]] == [1, 4]
    assert (await ask("fs_search", pattern=r"\Adef two", regex=True))["hits"] != []
    for wrong in ({"pattern": "(", "regex": True}, {"pattern": "((a{100}){100}){100}", "regex": True}, {"pattern": "a", "path": "../x"}):
        with pytest.raises(Invalid):
            await ask("fs_search", **wrong)


async def test_an_expression_that_others_would_never_finish_ends(ask) -> None:
    await ask("fs_write", path="a", content="a" * 100_000 + "!")
    assert (await ask("fs_search", pattern="(a+)+$", regex=True))["hits"] == []


async def test_what_is_moved_is_where_it_was_put_and_nothing_is_lost(ask, store) -> None:
    await ask("fs_write", path="a/b.txt", content="one")
    await ask("fs_write", path="c.txt", content="three")
    assert await ask("fs_move", path="a/b.txt", to="x/y/b.txt") == {"path": "a/b.txt", "to": "x/y/b.txt", "replaced": False}
    for path, to, error in (
        ("x/y/b.txt", "c.txt", Conflict),
        ("x", "x/z", Invalid),
        ("x", "x", Invalid),
        ("x", "c.txt", Conflict),
        ("none", "n", Missing),
        ("c.txt", "x", Conflict),
        ("c.txt", "x/y/b.txt/z", Invalid),
    ):
        with pytest.raises(error):
            await ask("fs_move", path=path, to=to)
    with pytest.raises(Conflict):
        await ask("fs_move", path="c.txt", to="x", overwrite=True)
    assert (await ask("fs_move", path="c.txt", to="x/y/b.txt", overwrite=True))["replaced"] is True
    assert (await ask("fs_read", path="x/y/b.txt"))["content"] == "three"
    await ask("fs_move", path="x/y", to="a/y")
    assert await store.usage(DAO, "main") == Usage(5, 4)


async def test_a_directory_cannot_be_moved_deeper_than_paths_may_be(ask) -> None:
    await ask("fs_write", path="/".join(["d"] * 99 + ["f"]), content="")
    with pytest.raises(Invalid):
        await ask("fs_move", path="d", to="e/d")


async def test_what_is_deleted_is_gone_and_the_rest_is_not(ask, store) -> None:
    for path in ("a/b/c", "a/b/d", "a/e", "f"):
        await ask("fs_write", path=path, content="12345")
    with pytest.raises(Conflict):
        await ask("fs_delete", path="a")
    assert await ask("fs_delete", path="a/e") == {"path": "a/e", "deleted": 1}
    assert await ask("fs_delete", path="a", recursive=True) == {"path": "a", "deleted": 4}
    for path in ("", ".", "a/.."):
        with pytest.raises(Invalid):
            await ask("fs_delete", path=path, recursive=True)
    with pytest.raises(Missing):
        await ask("fs_delete", path="a")
    assert await store.usage(DAO, "main") == Usage(5, 1)


async def test_nothing_is_written_beyond_the_quota(ask, store) -> None:
    await ask("fs_write", path="a", content="x" * (1 << 19))
    with pytest.raises(PayloadTooLarge):
        await ask("fs_write", path="b", content="x" * ((1 << 19) + 1))
    await ask("fs_write", path="d/" * 99 + "f", content="")
    with pytest.raises(PayloadTooLarge):
        await ask("fs_write", path="e/" * 10 + "f", content="")
    await ask("fs_delete", path="d", recursive=True)
    assert await store.usage(DAO, "main") == Usage(1 << 19, 1)
    await ask("fs_write", path="a", content="x" * (1 << 20))
    await ask("fs_delete", path="a")
    assert (await ask("fs_list"))["entries"] == []


async def test_a_large_file_is_written_and_neither_compared_nor_changed_in_parts(tmp_path) -> None:
    store = DiskWorkspaces(tmp_path / "workspaces", FakeClock())
    await store.open()
    tools = {tool.name: tool for tool in FileTools(store).tools()}
    large = WriteTakes(path="a", content="x\n" * (5 << 19))
    written = await tools["fs_write"].work(CALL, large)
    assert (written.diff, written.diff_cut) == ("", True)
    with pytest.raises(PayloadTooLarge):
        await tools["fs_write"].work(CALL, WriteTakes(path="a", patch="@@ -1 +1 @@\n-x\n+y\n"))
    with pytest.raises(PayloadTooLarge):
        await tools["fs_write"].work(CALL, WriteTakes(path="b", content="x" * ((16 << 20) + 1)))
    assert (await tools["fs_read"].work(CALL, ReadTakes(path="a", first_line=2_000_000, max_bytes=2))).content == "x\n"
