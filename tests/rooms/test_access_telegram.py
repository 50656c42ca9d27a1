"""Telegram's login button and mini apps: what its hash proves, and what is refused."""

import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import hypothesis.strategies as st
import pytest
from hypothesis import given

from dagi.access.telegram_login import prove_login, prove_mini_app
from dagi.errors import DagiError, Gone, Invalid

TOKEN = "123456:AAH-test-token"
NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
AT = str(int(NOW.timestamp()))
FIELDS = {"id": "987654321", "first_name": "Олена", "username": "olena", "auth_date": AT}
USER = json.dumps({"id": 987654321, "first_name": "Олена", "language_code": "uk"}, ensure_ascii=False)
DATA = {"query_id": "AAH", "user": USER, "auth_date": AT, "signature": "abc"}


def signed(fields: dict[str, str], key: bytes) -> dict[str, str]:
    text = "\n".join(f"{name}={fields[name]}" for name in sorted(fields))
    return {**fields, "hash": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}


def login(token: str = TOKEN, **changes: str) -> dict[str, str]:
    return signed({**FIELDS, **changes}, hashlib.sha256(token.encode()).digest())


def mini_app(token: str = TOKEN, **changes: str) -> str:
    return urlencode(signed({**DATA, **changes}, hmac.new(b"WebAppData", token.encode(), hashlib.sha256).digest()))


def test_the_fields_of_the_button_prove_the_account_whatever_their_order_and_their_json_type() -> None:
    fields = login()
    proof = prove_login(fields, TOKEN, NOW)
    assert proof.identity == "tg:987654321"
    given_as_numbers = {**dict(reversed(fields.items())), "id": 987654321, "auth_date": int(AT)}
    assert prove_login(given_as_numbers, TOKEN, NOW) == proof


def test_the_data_of_a_mini_app_prove_the_account() -> None:
    assert prove_mini_app(mini_app(), TOKEN, NOW + timedelta(minutes=9)).identity == "tg:987654321"


def test_each_has_a_digest_of_its_own_by_which_it_is_taken_once() -> None:
    first, later = prove_login(login(), TOKEN, NOW), prove_login(login(auth_date=str(int(AT) - 1)), TOKEN, NOW)
    assert first.digest != later.digest
    assert first.ends > NOW + timedelta(minutes=10)


def test_ten_minutes_later_it_is_gone() -> None:
    with pytest.raises(Gone):
        prove_login(login(), TOKEN, NOW + timedelta(minutes=10))
    with pytest.raises(Gone):
        prove_mini_app(mini_app(), TOKEN, NOW + timedelta(minutes=10))


def test_a_name_with_line_breaks_does_not_become_somebody_elses_account() -> None:
    odd = login(first_name="Eve\nid=1\nj=")
    forged = {"auth_date": AT, "first_name": "Eve", "id": "1", "j": "\nid=987654321", "username": "olena", "hash": odd["hash"]}
    for fields in (odd, forged):
        with pytest.raises(Invalid):
            prove_login(fields, TOKEN, NOW)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {**login(), "hash": "0" * 64},
        {**login(), "hash": login()["hash"].upper()},
        {**login(), "hash": ""},
        {**login(), "id": "1"},
        {**login(), "first_name": "Olena"},
        {**login(), "extra": "x"},
        {**login(), "id": True},
        {**login(), "id": None},
        {**login(), "id": ["987654321"]},
        login("999:other"),
        login(id="0987654321"),
        login(id="-5"),
        login(id="x"),
        login(id="9" * 17),
        login(auth_date=str(int(AT) + 31)),
        login(auth_date="soon"),
        login(auth_date="99999999999999"),
        {name: value for name, value in login().items() if name != "hash"},
        {name: value for name, value in login().items() if name != "id"},
        {**login(), **{f"f{number}": "x" for number in range(40)}},
        {**login(), "first_name": "x" * 10_000},
        {**login(), "first_name": "\ud800"},
        # The same text to be signed as two other fields.
        signed({"id": "1", "auth_date=1\nid": "2"}, hashlib.sha256(TOKEN.encode()).digest()),
    ],
)
def test_fields_telegram_has_not_signed_for_us_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(Invalid):
        prove_login(fields, TOKEN, NOW)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "hash",
        mini_app() + "&user=%7B%22id%22%3A1%7D",
        mini_app() + "&x=1",
        mini_app().replace("987654321", "1"),
        mini_app("999:other"),
        mini_app(user='{"id":"987654321"}'),
        mini_app(user='{"id":0}'),
        mini_app(user='{"id":5,"is_bot":true}'),
        mini_app(user="[" * 3000),
        mini_app(user=""),
        mini_app() + "&a=%ff",
        "a=1&" * 2000 + mini_app(),
        urlencode(signed({**DATA}, hashlib.sha256(TOKEN.encode()).digest())),
    ],
)
def test_data_telegram_has_not_signed_for_us_are_refused(data: str) -> None:
    with pytest.raises(Invalid):
        prove_mini_app(data, TOKEN, NOW)


@given(st.dictionaries(st.text(max_size=20), st.text(max_size=50) | st.integers() | st.none() | st.booleans(), max_size=10))
def test_no_fields_prove_anything_without_the_token(fields: dict[str, object]) -> None:
    with pytest.raises(DagiError):
        prove_login(fields, TOKEN, NOW)


@given(st.text(max_size=300))
def test_no_text_proves_anything_without_the_token(data: str) -> None:
    with pytest.raises(DagiError):
        prove_mini_app(data, TOKEN, NOW)


@pytest.mark.parametrize("at", [int(AT) + 30, int(AT) - 599])
def test_clocks_may_differ_by_half_a_minute(at: int) -> None:
    proof = prove_login(login(auth_date=str(at)), TOKEN, NOW)
    assert proof.ends == datetime.fromtimestamp(at, UTC) + timedelta(minutes=10, seconds=30)


def test_fields_are_taken_up_to_their_bounds() -> None:
    most = {f"f{number}": "" for number in range(27)}
    full = login(**most)
    assert len(full) == 32
    longest = login(last_name="x" * (8192 - sum(len(name) + len(value) for name, value in login(last_name="").items())))
    assert [prove_login(fields, TOKEN, NOW).identity for fields in (full, longest)] == ["tg:987654321"] * 2


def test_data_of_a_mini_app_are_taken_up_to_their_bounds_empty_values_too() -> None:
    longest = mini_app(start="x" * (8192 - len(mini_app(start=""))))
    assert len(longest) == 8192
    full = mini_app(**{f"f{number}": "" for number in range(27)})
    assert [prove_mini_app(data, TOKEN, NOW).identity for data in (longest, full)] == ["tg:987654321"] * 2
