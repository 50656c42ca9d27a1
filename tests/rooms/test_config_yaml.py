from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.config import load
from dagi.config.marks import Scalar, plain
from dagi.config.reading import LOADERS, Loader, read_text, read_tree
from dagi.config.scalars import fill, resolve
from dagi.errors import ConfigError

BOTH = pytest.mark.parametrize("loader", LOADERS)
WORDS = (
    "a:␣ - [ ] { } &x␣ *x <<:␣ \n ␣␣ ' \" | > !!str␣ !x␣ ?␣ :␣ , # 0 ---\n ...\n %YAML␣1.2\n "
    '${A} ${B:-c} $${ ${ \t \\ \\ud800 "\\0" 1e999 \x7f \x85 \ufeff'
)
FRAGMENTS = st.lists(st.sampled_from([word.replace("␣", " ") for word in WORDS.split(" ")]), max_size=40).map("".join)


def value(text: str, **variables: str) -> object:
    tree = read_tree(text, "x.yml", variables)
    assert tree.mistakes == ()
    return plain(tree.root)


def mistakes(text: str, **variables: str) -> list[str]:
    return [str(mistake) for mistake in read_tree(text, "x.yml", variables).mistakes]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("1", 1),
        ("-10", -10),
        ("010", 10),
        ("0x1f", 31),
        ("0o17", 15),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("12:30", "12:30"),
        ("2025-01-01", "2025-01-01"),
        ("1_000", "1_000"),
        (".inf", ".inf"),
        ("0.3.0", "0.3.0"),
        ("qwen3:8b", "qwen3:8b"),
    ],
)
def test_a_plain_scalar_means_what_yaml_1_2_says(text: str, meant: Scalar) -> None:
    assert resolve(text) == meant
    assert type(resolve(text)) is type(meant)


@pytest.mark.parametrize("text", ["9" * 5000, "1e999", "0x" + "f" * 100])
def test_a_number_beyond_meaning_is_a_mistake(text: str) -> None:
    [line] = mistakes(f"a:\n  b: {text}")

    assert line.startswith("x.yml:2 a.b: ")
    assert "put it in quotes" in line


def test_quoted_scalars_are_text() -> None:
    assert value("a: '1'\nb: \"true\"\nc: !!str 8\nd: |\n  1\n") == {"a": "1", "b": "true", "c": "8", "d": "1\n"}


def test_variables_are_filled_in_before_the_type_is_read() -> None:
    assert value("a: ${P}\nb: '${P}'\nc: http://${H}:${P}/\nd: ${E:-}", P="80", H="h") == {
        "a": 80,
        "b": "80",
        "c": "http://h:80/",
        "d": None,
    }


def test_a_default_counts_for_unset_and_empty_variables() -> None:
    assert value("a: ${X:-1}\nb: ${Y:-two words}\nc: ${Z:-3}", X="", Z="4") == {"a": 1, "b": "two words", "c": 4}


def test_a_doubled_dollar_is_a_literal_one() -> None:
    assert value("a: $${X}\nb: $5\nc: a$") == {"a": "${X}", "b": "$5", "c": "a$"}


def test_what_a_variable_holds_is_not_filled_in_again() -> None:
    assert value("a: ${X}", X="${Y}") == {"a": "${Y}"}


def test_a_missing_variable_is_told_with_file_and_line() -> None:
    assert mistakes("a:\n  - b: ${GONE}") == ["x.yml:2 a[0].b: the environment variable GONE is not set; set it, or write ${GONE:-default}"]


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A:+b}", "x ${A:-b"])
def test_a_reference_that_is_none_is_told(text: str) -> None:
    [line] = mistakes(f"a: '{text}'", A="1")

    assert line.startswith("x.yml:1 a: has a ${ that is no variable")


def test_a_missing_variable_is_not_complained_about_twice(tmp_path: Path) -> None:
    (tmp_path / "my.yml").write_text("server: {port: '${GONE}'}\ndebug: ${GONE}\n")

    with pytest.raises(ConfigError) as caught:
        load(None, Path("my.yml"), environ={}, cwd=tmp_path)

    assert [line.split(": ")[0] for line in caught.value.message.split("\n")] == ["my.yml:1 server.port", "my.yml:2 debug"]


def test_filling_in_cannot_make_a_text_without_end() -> None:
    assert fill("${A}" * 1000, {"A": "x" * 10_000}).problem == "is too long once its variables are filled in"


def test_aliases_and_merge_keys_work_and_an_own_key_wins() -> None:
    text = "base: &b {x: 1, y: 2}\none: *b\ntwo: {x: 3, <<: *b}\nthree: {<<: [{x: 9}, *b]}\n"

    assert value(text) == {"base": {"x": 1, "y": 2}, "one": {"x": 1, "y": 2}, "two": {"x": 3, "y": 2}, "three": {"x": 9, "y": 2}}


def test_a_key_twice_is_told_with_both_lines() -> None:
    assert mistakes("a:\n  b: 1\n  c: 2\n  b: 3\n") == ["x.yml:4 a.b: this key stands here twice, first in line 2; remove one of the two"]


def test_a_key_that_is_no_text_is_told() -> None:
    assert mistakes("a: {1: x, null: y}") == [
        'x.yml:1 a.1: keys are text; write "1" in quotes',
        'x.yml:1 a.null: keys are text; write "null" in quotes',
    ]


@pytest.mark.parametrize("text", ["a: {<<: 1}", "a: {<<: [{x: 1}, y]}"])
def test_a_merge_key_without_a_mapping_is_told(text: str) -> None:
    assert mistakes(text) == ['x.yml:1 a["<<"]: << takes a mapping or a list of mappings']


def test_a_key_that_is_a_senseless_number_is_told() -> None:
    assert mistakes("9" * 70 + ": 1") == [f'x.yml:1 {"9" * 70}: keys are text; write "{"9" * 70}" in quotes']


@BOTH
def test_an_escape_that_is_no_character_is_told(loader: Loader) -> None:
    with pytest.raises(ConfigError, match=r"^x\.yml"):
        read_tree('a: "\\U00110000"', "x.yml", {}, loader)


@pytest.mark.parametrize("escape", ["\\0", "\\ud800"])
def test_an_escape_that_no_database_takes_is_told_by_the_slower_reader_too(escape: str) -> None:
    assert read_tree(f'a: "{escape}"', "x.yml", {}, LOADERS[-1]).mistakes[0].path == ("a",)


def test_keys_with_dots_are_quoted_in_paths() -> None:
    assert mistakes('a: {"b.c": {d: "${X}"}}')[0].startswith('x.yml:1 a["b.c"].d: ')


@BOTH
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\nb: 2\n", r"^x\.yml:2:\d+: this is not valid YAML: "),
        ("a: b: c\n", r"^x\.yml:1:5: this is not valid YAML: mapping values are not allowed"),
        ("a: @x\n", r"^x\.yml:1:4: .*in quotes"),
        ("a:\n\tb: 1\n", r"^x\.yml:2:1: .*indent with spaces"),
        ("a: 1\n---\nb: 2\n", r"^x\.yml:2: a second document begins here"),
        ("- a\n", r"^x\.yml:1: a configuration is a mapping"),
        ("just text\n", r"^x\.yml:1: a configuration is a mapping"),
        ("a: *nothing\n", r"^x\.yml:1 a: \*nothing stands for nothing"),
        ("a: &x [*x]\n", r"^x\.yml:1 a\[0\]: \*x stands for nothing"),
        ("? [a]\n: b\n", r"^x\.yml:1: a key is plain text here"),
        ("a: !!python/object:os.system [x]\n", r"^x\.yml:1 a: the tag !!python/object:os.system means nothing here"),
        ("k" * 201 + ": 1\n", r"^x\.yml:1: a key of 201 characters"),
        ('a: {"b\\0": 1}\n', r"^x\.yml:1 a: a key holds a NUL character"),
        ("a: \x01\n", r"^x\.yml:1:4: the character U\+0001 is not allowed in YAML"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_place(loader: Loader, text: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        read_tree(text, "x.yml", {}, loader)


def test_a_scalar_with_a_foreign_tag_is_told() -> None:
    assert mistakes("a: !!binary aGk=") == ["x.yml:1 a: the tag !!binary means nothing here; write the value without it"]


@BOTH
@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "a: " + "[" * 100_000 + "]" * 100_000, "- " * 100_000, "? " * 100_000])
def test_a_hundred_thousand_levels_are_refused(loader: Loader, text: str) -> None:
    with pytest.raises(ConfigError):
        read_tree(text, "x.yml", {}, loader)


def test_nesting_through_aliases_is_bounded_too() -> None:
    text = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 100))

    with pytest.raises(ConfigError, match="nested more than 64 levels"):
        read_tree(text, "x.yml", {})


def test_a_billion_laughs_are_not_laughed() -> None:
    text = "a0: &a0 [lol]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))

    with pytest.raises(ConfigError, match="more than 100,000 values"):
        read_tree(text, "x.yml", {})


def test_merge_keys_cannot_laugh_either() -> None:
    text = "a: &a {" + ", ".join(f"k{n}: 1" for n in range(2000)) + "}\nb:\n" + "  - {<<: *a}\n" * 2000

    with pytest.raises(ConfigError, match="more than 100,000 values"):
        read_tree(text, "x.yml", {})


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"a: 1\nb: \xff\n", r"^x\.yml:2: is not UTF-8 text"),
        (b"a: 1\n\0", r"^x\.yml:2: holds a NUL byte"),
        ("a: 1\n".encode("utf-16"), r"^x\.yml:1: holds a NUL byte"),
        (b"#" * (1 << 20) + b"#", r"^x\.yml: is larger than 1 MiB"),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, raw: bytes, told: str) -> None:
    (tmp_path / "x.yml").write_bytes(raw)

    with pytest.raises(ConfigError, match=told):
        read_text(tmp_path / "x.yml", "x.yml")


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "x.yml").write_bytes(b"\xef\xbb\xbfa: 1\n")

    assert value(read_text(tmp_path / "x.yml", "x.yml")) == {"a": 1}


def test_a_device_without_end_is_refused_rather_than_read() -> None:
    with pytest.raises(ConfigError, match="larger than 1 MiB"):
        read_text(Path("/dev/zero"), "zero")


@BOTH
@given(text=FRAGMENTS | st.text(max_size=60))
def test_no_text_brings_anything_but_a_config_error(loader: Loader, text: str) -> None:
    message = "x.yml"
    try:
        read_tree(text, "x.yml", {"A": "1"}, loader)
    except ConfigError as error:
        message = error.message

    assert message.startswith("x.yml")
    assert "\n" not in message


@given(raw=st.binary(max_size=80) | FRAGMENTS.map(lambda text: text.encode()))
def test_no_file_brings_anything_but_a_config_error(tmp_path_factory: pytest.TempPathFactory, raw: bytes) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "my.yml").write_bytes(raw)

    message = "my.yml"
    try:
        load(None, Path("my.yml"), environ={"A": "1"}, cwd=folder)
    except ConfigError as error:
        message = error.message

    assert all(line.startswith("my.yml") for line in message.split("\n"))
