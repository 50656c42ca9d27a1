"""Paths and patterns of tools: whatever is written, it names something within the workspace or nothing."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.errors import Invalid
from dagi.targets.devtools.files.globs import matcher
from dagi.targets.devtools.files.paths import is_name, parse

TRICKS = st.sampled_from(
    [
        "..",
        ".",
        "",
        "/",
        "\0",
        ".git",
        ".GIT",
        "git~1",
        "\u202e",
        "\u200d",
        "\ud800",
        "a",
        "b.py",
        "%2e%2e",
        "\\",
        ".dagi",
        "~",
        "\n",
        " ",
        "É",
        "x" * 300,
    ]
)


@given(st.one_of(st.text(), st.lists(TRICKS, max_size=8).map("/".join), st.lists(TRICKS, max_size=5).map("".join)))
def test_what_is_taken_stays_inside_and_can_be_encoded(path: str) -> None:
    try:
        parts = parse(path, "params.path", root=True)
    except Invalid as told:
        assert told.facts["field"] == "params.path"
        return
    assert not path.startswith("/")
    for part in parts:
        assert part not in {"", ".", ".."}
        assert "/" not in part
        assert "\0" not in part
        assert len(part.encode()) <= 255
        assert not part.casefold().startswith((".dagi", ".git~"))
        assert part.casefold() != ".git"
        assert is_name(part)
    assert parse("/".join(parts), "params.path", root=True) == parts


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "//x",
        "../x",
        "a/../../x",
        "a/..",
        "..",
        "",
        ".",
        "a\0b",
        "a\nb",
        "a\x1b[2Jb",
        "a\u202eb",
        "a\u2028b",
        "a\ud800b",
        "x" * 256,
        "é" * 128,
        "/".join(["x" * 200] * 21),
        "/".join(["x"] * 101),
        ".git",
        "a/.GIT/config",
        ".git./hooks",
        ".g\u200cit/x",
        "git~1/x",
        "a\\.git\\config",
        ".git::$DATA",
        ".dagi/x",
        ".DAGI-draft",
    ],
)
def test_a_path_that_leads_elsewhere_or_shows_something_else_is_none(path) -> None:
    with pytest.raises(Invalid):
        parse(path, "params.path")


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a/b.py", ("a", "b.py")),
        ("./a//b/", ("a", "b")),
        ("файл.txt", ("файл.txt",)),
        (".gitignore", (".gitignore",)),
        ("a b/👨‍👩‍👧.png", ("a b", "👨‍👩‍👧.png")),
    ],
)
def test_a_path_is_taken_as_people_write_it(path, parts) -> None:
    assert parse(path, "params.path") == parts


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("*.py", ["a.py", "x/y/a.py"], ["a.pyc", "a.py/b"]),
        ("src/*.py", ["src/a.py"], ["src/x/a.py", "a.py", "x/src/a.py"]),
        ("src/**/*.py", ["src/a.py", "src/x/y/a.py"], ["srcx/a.py"]),
        ("**/test_?.py", ["test_a.py", "x/test_b.py"], ["test_ab.py"]),
        ("/a", ["a"], ["x/a"]),
        ("[a-c]x", ["ax", "d/bx"], ["dx", "-x"]),
        ("[!a]x", ["bx"], ["ax"]),
        ("docs/**", ["docs/a", "docs/a/b"], ["docs"]),
        ("a.b+(c)", ["a.b+(c)"], ["aXb+(c)", "a.bb(c)"]),
        ("[x", ["[x"], ["x"]),
    ],
)
def test_patterns_mean_what_people_expect(pattern, yes, no) -> None:
    matches = matcher([pattern], "params.glob")
    assert [path for path in (*yes, *no) if matches(path)] == yes


@given(st.text(alphabet="ab*?[]!-/.\\^(){}|+$", min_size=1, max_size=60), st.text(alphabet="ab/-.]", max_size=40))
def test_a_pattern_is_taken_or_told_and_never_anything_else(pattern: str, path: str) -> None:
    try:
        assert matcher([pattern], "params.include")(path) in {True, False}
    except Invalid as told:
        assert re.match(r"params\.include", str(told.facts["field"]))
