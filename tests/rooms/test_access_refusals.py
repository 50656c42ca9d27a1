"""Every refusal of the access room names its field, its facts and what to do about it."""

import hashlib
import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from urllib.parse import urlencode

import msgspec
import pytest

from dagi.access import link_codes, linking, siwe, wallets
from dagi.access.importing import read_members
from dagi.access.linking import Account, HeldRole, Known
from dagi.access.names import check_name, check_role
from dagi.access.siwe import Challenge, SiweMessage
from dagi.access.telegram_login import prove_login, prove_mini_app
from dagi.access.token_wishes import MAX, TokenWish, token_terms, uint256
from dagi.errors import Conflict, DagiError, Gone, Invalid

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
BOT = "123456:AAH-test-token"
AT = str(int(NOW.timestamp()))
COLUMNS = ["account", "accounts", "dao_id", "expires", "expires_at", "identities", "name", "role", "roles", "suspended", "user_id"]
CHALLENGE = Challenge(
    domain="dao.example", uri="https://dao.example:8443/link", statement="Link this wallet.", nonce="7Z3K9M1Q5R8T2V4W", request_id="R1",
    chain_ids=(31337, 1), began=NOW, ends=NOW + timedelta(minutes=10),
)  # fmt: skip
SIGNED = SiweMessage(
    domain=CHALLENGE.domain, address=ADDRESS, uri=CHALLENGE.uri, chain_id=1, nonce=CHALLENGE.nonce, issued_at="2026-11-23T12:00:00Z",
    statement=CHALLENGE.statement, expiration_time="2026-11-23T12:10:00Z", request_id="R1",
)  # fmt: skip
# What is called, whose fault it is, what is told beside the sentence, and words of the sentence.
Refusal = tuple[Callable[[], object], type[DagiError], Mapping[str, object], str]


def refusals(*cases: Refusal) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("refusal", cases)


def check(refusal: Refusal) -> None:
    call, kind, facts, words = refusal
    with pytest.raises(kind) as caught:
        call()
    assert (type(caught.value), caught.value.facts) == (kind, facts)
    assert words in caught.value.message
    assert "None" not in caught.value.message


def wish(**changes: object) -> Callable[[], object]:
    whole = TokenWish(chain="1", token="0x" + "ab" * 20, standard="ERC-20", role="member")
    return partial(token_terms, msgspec.structs.replace(whole, **changes))


@refusals(
    (wish(standard="erc777"), Invalid, {"field": "standard", "allowed": ["erc20", "erc721", "erc1155"]}, "no standard of tokens"),
    (wish(standard="erc1155"), Invalid, {"field": "token_id"}, "name the one that counts"),
    (wish(token_id="5"), Invalid, {"field": "token_id"}, "leave token_id out"),
    (wish(min_balance="0"), Invalid, {"field": "min_balance"}, "min_balance is 1 or more"),
    (wish(standard="erc721", token_id="7", min_balance="2"), Invalid, {"field": "min_balance"}, "with token_id, min_balance is 1"),
    (wish(grace_s=-1), Invalid, {"field": "grace_s"}, "at most a year"),
    (wish(grace_s=365 * 86_400 + 1), Invalid, {"field": "grace_s"}, "at most a year"),
    (wish(token="vitalik.eth"), Invalid, {"field": "token"}, "0x and 40 hexadecimal digits"),
    (wish(role="Boss!"), Invalid, {"field": "role"}, "A role's name has 1 to 64"),
    (partial(uint256, str(MAX + 1), "min_balance"), Invalid, {"field": "min_balance"}, "min_balance is a whole number up to 2^256 - 1"),
    (partial(uint256, "1e18", "token_id"), Invalid, {"field": "token_id"}, "token_id is a whole number up to 2^256 - 1"),
)
def test_a_rule_about_a_token_is_refused_by_the_field_that_is_wrong(refusal: Refusal) -> None:
    check(refusal)


@refusals(
    (partial(wallets.wallet_identity, "0x12"), Invalid, {"field": "address"}, "0x and 40 hexadecimal digits"),
    (partial(wallets.wallet_identity, ADDRESS.replace("f39F", "f39f")), Invalid, {"field": "address"}, "capitals do not fit"),
    (partial(wallets.account, "eth:0x12"), Invalid, {"field": "user_id"}, "0x and 40 hexadecimal digits"),
    (partial(wallets.account, "eth:0x12", "account"), Invalid, {"field": "account"}, "0x and 40 hexadecimal digits"),
    (partial(wallets.account, "12345"), Invalid, {"field": "user_id"}, "for example tg:12345"),
    (partial(wallets.account, "12345", "account"), Invalid, {"field": "account"}, "for example tg:12345"),
    (partial(wallets.signature_bytes, "0x1"), Invalid, {"field": "signature"}, "of at most 8192 bytes"),
    (partial(wallets.check_plain, bytes(65)), Invalid, {"field": "signature"}, "65 bytes with a low s, and v 27 or 28"),
    (partial(link_codes.read_code, "A" * 25), Invalid, {"field": "code"}, "A code has 26 letters and digits"),
    (partial(link_codes.read_code, "A" * 25, "link_code"), Invalid, {"field": "link_code"}, "A code has 26 letters and digits"),
    (partial(check_role, "Boss!"), Invalid, {"field": "role"}, "A role's name has 1 to 64"),
    (partial(check_name, " "), Invalid, {"field": "name"}, "A name has 1 to 200 printable characters."),
    (
        partial(check_name, "Da\u202erina", "title"),
        Invalid,
        {"field": "title"},
        "A title has 1 to 200 printable characters. Its character 3",
    ),
)
def test_a_name_a_wallet_or_a_code_is_refused_under_the_name_of_its_field(refusal: Refusal) -> None:
    check(refusal)


def answer(now: datetime = NOW, **changes: object) -> Callable[[], object]:
    return partial(siwe.check, msgspec.structs.replace(SIGNED, **changes), CHALLENGE, now)


MESSAGE = {"field": "message"}


@refusals(
    (partial(siwe.parse, "Hello"), Invalid, MESSAGE, "no Sign-In with Ethereum message"),
    (partial(siwe.parse, SIGNED.text().replace(ADDRESS, ADDRESS.lower())), Invalid, MESSAGE, "a checksummed address"),
    (partial(siwe.parse, SIGNED.text().replace("Chain ID: 1", "Chain ID: 01")), Invalid, MESSAGE, "plain numbers"),
    (
        partial(siwe.parse, SIGNED.text().replace("T12:10", "T25:10")),
        Invalid,
        MESSAGE,
        "The message's expiration time is no time there is.",
    ),
    (answer(domain="evil.example"), Invalid, MESSAGE, "The message's domain is not what the challenge asked for"),
    (answer(chain_id=2), Invalid, {"field": "message", "allowed": [1, 31337]}, "The message's chain id is not"),
    (answer(issued_at="soon"), Invalid, MESSAGE, "The message's issued at is no time there is."),
    (answer(expiration_time="soon"), Invalid, MESSAGE, "The message's expiration time is no time there is."),
    (answer(NOW + timedelta(minutes=10)), Gone, {}, "Ask for a new challenge"),
)
def test_a_message_of_a_wallet_is_refused_by_what_is_wrong_in_it(refusal: Refusal) -> None:
    check(refusal)


def telegram(fields: Mapping[str, str], key: bytes) -> dict[str, str]:
    text = "\n".join(f"{name}={value}" for name, value in sorted(fields.items()))
    return {**fields, "hash": hmac.new(key, text.encode(), hashlib.sha256).hexdigest()}


def button(fields: Mapping[str, str], **changes: object) -> Callable[[], object]:
    """What Telegram has signed, and what was made of it on the way."""
    return partial(prove_login, {**telegram(fields, hashlib.sha256(BOT.encode()).digest()), **changes}, BOT, NOW)


def mini_app(fields: Mapping[str, str], change: Callable[[str], str] = str) -> Callable[[], object]:
    data = urlencode(telegram(fields, hmac.digest(b"WebAppData", BOT.encode(), "sha256")))
    return partial(prove_mini_app, change(data), BOT, NOW)


FIELDS = {"id": "5", "first_name": "Олена", "auth_date": AT}
APP = {"user": '{"id":5}', "auth_date": AT}
DATA = {"field": "data"}
NOT_TELEGRAM = "not what Telegram gives. Pass it on as it came."


@refusals(
    (button({"first_name": "Олена", "auth_date": AT}), Invalid, DATA, NOT_TELEGRAM),
    (button({"id": "5"}), Invalid, DATA, NOT_TELEGRAM),
    (button({**FIELDS, "is_bot": "True"}, is_bot=True), Invalid, DATA, NOT_TELEGRAM),
    (button({**FIELDS, "last_name": "None"}, last_name=None), Invalid, DATA, NOT_TELEGRAM),
    (button({**FIELDS, "score": "1.0"}, score=1.0), Invalid, DATA, NOT_TELEGRAM),
    (button({**FIELDS, "last=name": "x"}), Invalid, DATA, NOT_TELEGRAM),
    (button({**FIELDS, **{f"f{number}": "x" for number in range(29)}}), Invalid, DATA, NOT_TELEGRAM),
    (button({**FIELDS, "last_name": "x" * 8192}), Invalid, DATA, NOT_TELEGRAM),
    (button(FIELDS, hash="0" * 64), Invalid, {"field": "hash"}, "Telegram has not signed this for our bot"),
    (button({**FIELDS, "auth_date": str(int(AT) + 31)}), Invalid, {"field": "auth_date"}, "from the future"),
    (button({**FIELDS, "auth_date": str(int(AT) - 600)}), Gone, {}, "older than ten minutes"),
    (mini_app({"auth_date": AT}), Invalid, DATA, NOT_TELEGRAM),
    (mini_app({**APP, **{f"f{number}": "x" for number in range(30)}}), Invalid, DATA, NOT_TELEGRAM),
    (mini_app(APP, lambda data: data + "&start"), Invalid, DATA, NOT_TELEGRAM),
    (mini_app({**APP, "start": "\ufffd"}, lambda data: data.replace("%EF%BF%BD", "%FF")), Invalid, DATA, NOT_TELEGRAM),
    (mini_app({**APP, "start": "x" * 8192}), Invalid, DATA, NOT_TELEGRAM),
)
def test_a_login_telegram_has_not_signed_just_so_is_refused(refusal: Refusal) -> None:
    check(refusal)


def person(identifier: str, *accounts: str, **more: object) -> Known:
    return Known(id=identifier, accounts=tuple(Account(one) for one in accounts), **more)  # type: ignore[arg-type]


def governs(*pairs: str) -> frozenset[tuple[str, str]]:
    return frozenset((dao_id, f"{what}.manage") for dao_id, what in (pair.split(":") for pair in pairs))


FRESH = Known(id="p", accounts=(Account("tg:1"), Account("dc:2", NOW + timedelta(hours=3))), administers=governs("a:member"))
SUSPENDED = person("p", "tg:1", "dc:2", roles=(HeldRole(dao_id="a", role="member", suspended=True, created_at=NOW),))
JOIN = partial(linking.held_back, now=NOW)


@refusals(
    (partial(linking.check_linkable, "cli:root"), Invalid, {"field": "user_id"}, "That is no person's account"),
    (partial(JOIN, person("p", "tg:1"), person("", "system:x")), Invalid, {"field": "user_id"}, "That is no person's account"),
    (partial(JOIN, person("p", "tg:1"), person("p", "tg:1")), Conflict, {"reason": "linked"}, "linked to one another already"),
    (partial(JOIN, person("p", "tg:1", "dc:1"), person("q", "tg:2", "dc:2")), Conflict, {"reason": "linked_elsewhere"}, "linked elsewhere"),
    (
        partial(JOIN, person("p", "tg:1", administers=governs("a:member")), person("q", "tg:2", administers=governs("a:key"))),
        Conflict,
        {"reason": "administers"},
        "Each of the two administers what the other does not",
    ),
    (partial(linking.check_not_suspended, SUSPENDED), Conflict, {"reason": "suspended"}, "its accounts stay together"),
    (partial(linking.check_unlink, person("p", "tg:1"), "tg:1", NOW), Conflict, {"reason": "only_account"}, "tg:1 is the only account."),
    (partial(linking.check_unlink, FRESH, "tg:1", NOW), Conflict, {"reason": "last_trusted"}, "until 2026-11-23 15:00 UTC"),
)
def test_accounts_that_cannot_be_joined_or_parted_are_told_why(refusal: Refusal) -> None:
    check(refusal)


def file(text: str | bytes) -> Callable[[], object]:
    return partial(read_members, text if isinstance(text, bytes) else text.encode(), "green")


def people(right: int, wrong: int = 0) -> str:
    return "account,role\n" + "x,member\n" * wrong + "".join(f"tg:{number},member\n" for number in range(right))


FILE = {"field": "file"}
COLUMN = {"field": "file", "allowed": COLUMNS}


@refusals(
    (file(""), Invalid, FILE, "There is nobody in the file."),
    (file(b" " * 8_000_001), Invalid, FILE, "larger than 8 MB"),
    (file(people(20_001)), Invalid, FILE, "more than 20000 people"),
    (file(people(10_000, wrong=10_001)), Invalid, FILE, "more than 20000 people"),
    (file(b"\xef\xbb\xbfab\xff"), Invalid, FILE, "no UTF-8 text (byte 5)"),
    (file("\n [1]"), Invalid, FILE, "no JSON array of objects"),
    (file("{}"), Invalid, FILE, "no JSON array of objects"),
    (file('"account,role\n'), Invalid, FILE, "no CSV from line 1 on"),
    (file('account,role\n"tg:1"2,member\n'), Invalid, FILE, "no CSV from line 2 on"),
    (file("account,role,\u202e" + "x" * 60 + "\n"), Invalid, COLUMN, f"The column '{'x' * 39}' is unknown"),
    (file("account,user_id,role\n"), Invalid, FILE, "The column accounts is there twice."),
    (file("account\ntg:1\n"), Invalid, COLUMN, "account and role among them"),
    (file("role\nmember\n"), Invalid, COLUMN, "account and role among them"),
)
def test_a_file_that_holds_no_members_is_refused_by_what_is_wrong_with_it(refusal: Refusal) -> None:
    check(refusal)


def test_a_name_that_is_too_long_is_told_no_character_of_it() -> None:
    with pytest.raises(Invalid) as caught:
        check_name("x" * 201)
    assert caught.value.message == "A name has 1 to 200 printable characters."
