"""Members from a file: what is read, and what is refused with its line."""

import json
from contextlib import suppress
from datetime import UTC, datetime

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from dagi.access.importing import ImportLine, Mistakes, Reading, read_members
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
@pytest.mark.parametrize("end", ["\n", "\r\n"])
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
