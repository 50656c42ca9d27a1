"""Tables of the command line: whatever the terminal's width, nothing that stands in them is lost."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dagi.cli.output import table

WALLET = "eth:0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
MEMBERS = ("accounts", "name", "roles", "by", "suspended", "expires")
ANN = ((WALLET, "tg:12345"), "Дарина", ("admin", "moderator"), "manual", False, None)
BEN = (("tg:777",), "Ben", ("member",), "token", True, None)


def shown(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int, *rows: tuple[object, ...]) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    table(MEMBERS, rows, empty="")
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_a_terminal_too_narrow_for_the_words_of_a_row_is_given_paragraphs(capsys, monkeypatch) -> None:
    assert shown(capsys, monkeypatch, 80, ANN, BEN) == [
        f"accounts   {WALLET}, tg:12345",
        "name       Дарина",
        "roles      admin, moderator",
        "by         manual",
        "suspended  no",
        "expires",
        "",
        "accounts   tg:777",
        "name       Ben",
        "roles      member",
        "by         token",
        "suspended  yes",
        "expires",
    ]


def test_what_is_wider_than_the_terminal_goes_on_in_the_next_line_at_a_space(capsys, monkeypatch) -> None:
    assert shown(capsys, monkeypatch, 95, ANN) == [
        "accounts                                         name    roles      by      suspended  expires",
        f"{WALLET},  Дарина  admin,     manual  no",
        "tg:12345                                                 moderator",
    ]


def test_no_terminal_gets_a_row_on_one_line(capsys, monkeypatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    table(("id", "may"), [("admin", " ".join(["entitlement"] * 100))], empty="")
    assert len(capsys.readouterr().out.splitlines()) == 2


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.lists(st.text("ab1🐝я ,:", max_size=30), min_size=3, max_size=3), min_size=1, max_size=4),
    st.integers(min_value=1, max_value=120),
)
def test_every_word_is_there_at_every_width(capsys, monkeypatch, rows: list[list[str]], width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    table(("one", "two words", "three"), rows, empty="")
    out = capsys.readouterr().out.split()
    for row in rows:
        for cell in row:
            assert set(cell.split()) <= set(out)
