"""Members from a file: what is read, and what is refused with its line."""

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from dagi.access.importing import ImportLine, Mistake, Mistakes, Reading, read_members
from dagi.errors import Invalid


def reading(text: str | bytes) -> Reading:
    return read_members(text if isinstance(text, bytes) else text.encode(), "green")


def read(text: str | bytes) -> tuple[ImportLine, ...]:
    found = reading(text)
    Mistakes(found.mistakes).check()
    return found.lines


def mistakes(text: str | bytes) -> list[tuple[int, str]]:
    return [(one.line, one.field) for one in reading(text).mistakes]


PLAIN = (
    ImportLine(line=2, accounts=("tg:1",), roles=("member",), name="Дарина"),
    ImportLine(line=3, accounts=("tg:2", "dc:9"), roles=("admin", "member"), name=""),
)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_spreadsheet_is_read_however_it_was_saved(delimiter: str, encoding: str, end: str) -> None:
    rows = [("User_ID", "role", "name"), ("tg:1", "member", "Дарина"), ("tg:2|dc:9", "admin member", "")]
    text = end.join(delimiter.join(row) for row in rows) + end
    assert read(text.encode(encoding)) == PLAIN
    # Turned from one encoding into another by a program that kept the first one's mark.
    assert read(f"\ufeff{text}".encode(encoding)) == PLAIN


def test_a_line_is_told_by_where_it_begins_also_after_cells_of_several_lines() -> None:
    text = 'account,role,name\n"tg:1",member,"a\nb"\n\ntg:2,,\n'
    assert mistakes(text) == [(5, "roles")]


def test_json_is_read_as_the_member_list_prints_it() -> None:
    listed = [
        {"dao_id": "green", "person_id": "p", "name": "Дарина", "identities": ["tg:1"], "roles": ["member"],
         "suspended": False, "expires_at": None},
        {"account": "tg:2", "role": "guest|member", "expires": "2026-12-31T18:00:00+02:00"},
    ]  # fmt: skip
    assert read(json.dumps(listed)) == (
        ImportLine(line=1, accounts=("tg:1",), roles=("member",), name="Дарина", expires_at=None, suspended=False),
        ImportLine(line=2, accounts=("tg:2",), roles=("guest", "member"), expires_at=datetime(2026, 12, 31, 16, tzinfo=UTC)),
    )


def test_a_day_lasts_to_its_end_and_an_empty_cell_for_ever_where_there_is_a_column() -> None:
    first, second = read("account,role,expires\ntg:1,member,2026-12-31\ntg:2,member,\n")
    assert (first.expires_at, second.expires_at) == (datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC), None)
    assert read("account,role\ntg:1,member\n")[0].expires_at is msgspec.UNSET


@pytest.mark.parametrize(
    ("line", "field"),
    [
        ("tg:1,member,x,y", "file"),
        (",member,", "accounts"),
        ("12345,member,", "accounts"),
        ("tg:1\u202e,member,", "accounts"),
        ("tg:" + "9" * 10_000 + ",member,", "accounts"),
        ("tg:\u0661,member,", "accounts"),
        ("tg:1\x00,member,", "accounts"),
        ("|".join(f"tg:{n}" for n in range(11)) + ",member,", "accounts"),
        ("tg:1,Member!,", "roles"),
        ("tg:1,,", "roles"),
        ("tg:1,member,31.12.2026", "expires_at"),
        ("tg:1,member,0000-00-00", "expires_at"),
    ],
)
def test_every_wrong_line_is_told_and_nothing_is_taken(line: str, field: str) -> None:
    text = f"account,role,expires\ntg:100,member,\n{line}\ntg:101,member,tomorrow\n"
    assert mistakes(text) == [(3, field), (4, "expires_at")]


def test_a_wallet_is_read_in_either_spelling_and_stands_in_one_line() -> None:
    wallet = "eth:0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"
    assert read(f"account,role\n{wallet},member\n")[0].accounts == (wallet.lower(),)
    assert mistakes(f"account,role\n{wallet.replace('5aA', '5aa')},member\n") == [(2, "accounts")]
    assert mistakes(f"account,role\n{wallet},member\n{wallet.lower()},member\n") == [(3, "accounts")]


def test_an_account_stands_in_one_line() -> None:
    assert mistakes("account,role\ntg:1,member\ntg:2|tg:1,member\ntg:1,guest\n") == [(3, "accounts"), (4, "accounts")]


def test_of_many_mistakes_fifty_are_told_and_all_are_counted() -> None:
    with pytest.raises(Invalid) as caught:
        read("account,role\n" + "x,member\n" * 500)
    assert caught.value.facts["mistake_count"] == 500
    assert len(caught.value.facts["mistakes"]) == 50  # type: ignore[arg-type]
    assert len(caught.value.message) < 20_000


@pytest.mark.parametrize(
    "data",
    [
        b"", b"\n\n", b"account,role\n", b"account\ntg:1\n", b"account,role,role\ntg:1,a,b\n", b"account,user_id,role\ntg:1,tg:1,a\n",
        b"account,role,colour\ntg:1,member,red\n", "аккаунт,роль\n".encode("cp1251"), b"\xff\xfeabc", b'account,role\n"tg:1,member\n',
        b"account,role\n" + b"x" * 200_000 + b",member\n", b"[", b"[1]", b"{}", b"[{}" + b",{}" * 3, b"[[]]", b"[" * 100_000,
        b'[{"account": 1, "role": "member"}]', b'[{"account": ["tg:1", 2], "role": "member"}]', b'[{"account": "tg:1"}]',
        b'[{"account": "tg:1", "user_id": "tg:1", "role": "member"}]', b'[{"account": "tg:1", "role": "member", "colour": "red"}]',
        b'[{"account": "tg:1", "role": "member", "dao_id": "blue"}]', b'[{"account": "tg:1", "role": "member", "expires": 5}]',
        b'[{"account": "tg:1", "role": "member", "suspended": "perhaps"}]', b'[{"account": "tg:1", "role": "member", "name": ["x"]}]',
        b'[{"account": "tg:\\ud800", "role": "member"}]', b"account,role\ntg:1,member\n" * 400_000,
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused_with_a_sentence(data: bytes) -> None:
    with pytest.raises(Invalid) as caught:
        read(data)
    assert caught.value.message


@given(st.one_of(st.binary(max_size=400), st.text(max_size=400).map(lambda text: ("account,role\n" + text).encode("utf-8", "replace"))))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with suppress(Invalid):
        assert read(data)


def test_what_is_wrong_with_a_line_of_a_spreadsheet_is_told_with_its_field() -> None:
    rows = [
        "account,role,expires,suspended,name,dao_id",
        "tg:1,member,,,,,more",
        "tg:2",
        "|,member",
        "tg:3,member,5 May\u202e",
        "tg:4,member,2026-12-31T18:00:00.00000000000000000000+02:00Z",
        "tg:5,member,,perhaps",
        f"tg:6,member,,yes{' ' * 40}no",
        f"tg:7,member,,,{' ' * 2001}",
        "tg:8,member,,,,blue",
        "tg:9 tg:9,member,never,TRUE,   ,green",
        "tg:9,member",
    ]
    found = reading("\n".join(rows))
    expires = "is no time. Write 2026-12-31, 2026-12-31T18:00:00Z, or never."
    assert sorted(found.mistakes, key=lambda one: one.line) == [
        Mistake(2, "file", "The line has 7 cells, and there are 6 columns."),
        Mistake(3, "roles", "roles is missing, or neither a text nor a list of texts."),
        Mistake(4, "accounts", "There have to be 1 to 10 accounts."),
        Mistake(5, "expires_at", f"'5 May' {expires}"),
        Mistake(6, "expires_at", f"'2026-12-31T18:00:00.00000000000000000000' {expires}"),
        Mistake(7, "suspended", "suspended is yes or no, or empty to leave it as it is."),
        Mistake(8, "suspended", "suspended is yes or no, or empty to leave it as it is."),
        Mistake(9, "name", "name is no short text."),
        Mistake(10, "dao_id", "The line belongs to another DAO."),
        Mistake(12, "accounts", "tg:9 stands in line 11 already."),
    ]
    assert found.lines[0] == ImportLine(line=11, accounts=("tg:9",), roles=("member",), expires_at=None, suspended=True)


def test_what_is_wrong_with_an_object_is_told_with_its_field_and_never_at_length() -> None:
    right = {"account": "tg:1", "role": "member"}
    wrong = [
        {"": "\x1b[31m" * 1000},
        {"x" * 1000: 1},
        {"user_id": "tg:2"},
        {"expires": 5},
        {"suspended": []},
        {"name": ["x"]},
        {"role": [1]},
    ]
    assert reading(json.dumps([right | one for one in wrong])).mistakes == (
        Mistake(1, "file", "The key '' is unknown."),
        Mistake(2, "file", f"The key '{'x' * 40}' is unknown."),
        Mistake(3, "accounts", "accounts is there twice, under two names."),
        Mistake(4, "expires_at", "'?' is no time. Write 2026-12-31, 2026-12-31T18:00:00Z, or never."),
        Mistake(5, "suspended", "suspended is yes or no, or empty to leave it as it is."),
        Mistake(6, "name", "name is no short text."),
        Mistake(7, "roles", "roles is missing, or neither a text nor a list of texts."),
    )


@pytest.mark.parametrize(
    ("count", "begins", "ends"),
    [
        (1, "Nothing was written, for one thing is wrong in the file:\nline 1: wrong", "\nline 1: wrong"),
        (2, "Nothing was written, for 2 things are wrong in the file:\nline 1: wrong\nline 2: wrong", "\nline 2: wrong"),
        (50, "Nothing was written, for 50 things are wrong in the file:\nline 1: wrong\nline 2: wrong\n", "\nline 50: wrong"),
        (51, "Nothing was written, for 51 things are wrong in the file:\nline 1: wrong\nline 2: wrong\n", "\nline 50: wrong\nand 1 more"),
    ],
)
def test_mistakes_are_told_in_the_order_of_the_file(count: int, begins: str, ends: str) -> None:
    wrong = [Mistake(number, "accounts", "wrong") for number in range(count, 0, -1)]
    with pytest.raises(Invalid) as caught:
        Mistakes(wrong).check()
    assert caught.value.message.startswith(begins)
    assert caught.value.message.endswith(ends)
    assert caught.value.facts == {"field": "file", "mistakes": wrong[::-1][:50], "mistake_count": count}


def test_what_an_export_holds_beside_is_passed_over_and_blank_lines_before_the_first_are_no_first_line() -> None:
    text = "\n\r\nperson_id;account;role;source;sources;created_at\np1;tg:1;member;manual;;2026-01-01\n"
    assert read(text) == (ImportLine(line=4, accounts=("tg:1",), roles=("member",)),)


def test_files_and_people_are_read_up_to_their_bounds() -> None:
    ten = [f"tg:{number}" for number in range(10)]
    row = {"accounts": ten, "role": "member", "name": "Ada" + " " * 1997}
    assert read(json.dumps([row]).ljust(8_000_000)) == (ImportLine(line=1, accounts=tuple(ten), roles=("member",), name="Ada"),)
    assert len(read("account,role\n" + "".join(f"tg:{number},member\n" for number in range(20_000)))) == 20_000


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
@pytest.mark.parametrize(
    ("written", "ends"),
    [
        ("2026-12-31", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("20261231", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-W53-4", datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC)),
        ("2026-12-31T18:00", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31 18:00:00Z", datetime(2026, 12, 31, 18, tzinfo=UTC)),
        ("2026-12-31T18:00:00.00000000000000000000+02:00", datetime(2026, 12, 31, 16, tzinfo=UTC)),
        (" never ", None),
        ("", None),
    ],
)
def test_a_time_is_utc_whatever_the_machine_thinks_unless_it_says_otherwise(written: str, ends: datetime | None) -> None:
    (found,) = read(f"account,role,expires\ntg:1,member,{written}\n")
    assert found.expires_at == ends
    assert found.expires_at is None or found.expires_at.tzinfo is UTC


@pytest.mark.parametrize(
    ("written", "suspended"),
    [
        ("Yes", True),
        ("true", True),
        ("1", True),
        (1, True),
        ("NO", False),
        ("false", False),
        (0, False),
        ("", None),
        ("  ", None),
        (None, None),
    ],
)
def test_suspended_is_yes_or_no_or_not_said(written: object, suspended: bool | None) -> None:
    (found,) = read(json.dumps([{"account": "tg:1", "role": "member", "suspended": written}]))
    assert found.suspended is suspended
