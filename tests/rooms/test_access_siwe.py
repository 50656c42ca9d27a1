"""Sign-In with Ethereum messages, to the letter: what is read, what is refused, what counts as an answer."""

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import msgspec
import pytest
from eth_hash.auto import keccak
from eth_keys import keys
from eth_utils import to_checksum_address
from hypothesis import given, settings

from dagi.access.keccak import keccak256
from dagi.access.siwe import Challenge, SiweMessage, check, parse
from dagi.access.wallets import check_plain, checksummed, personal_digest, signature_bytes, wallet_identity
from dagi.errors import DagiError, Gone, Invalid
from dagi.testing.local_chain import signed

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ADDRESS = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
# The example of EIP-4361 itself.
EXAMPLE = """example.com wants you to sign in with your Ethereum account:
0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2

I accept the ExampleOrg Terms of Service: https://example.com/tos

URI: https://example.com/login
Version: 1
Chain ID: 1
Nonce: 32891756
Issued At: 2021-09-30T16:25:24Z
Resources:
- ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/
- https://example.com/my-web2-claim.json"""
CHALLENGE = Challenge(
    domain="dao.example",
    uri="https://dao.example/link",
    statement="Link this wallet. Account: tg:12345",
    nonce="7Z3K9M1Q5R8T2V4W6X0Y",
    request_id="R1",
    chain_ids=(1, 31337),
    began=NOW,
    ends=NOW + timedelta(minutes=10),
)
GOOD = SiweMessage(
    domain=CHALLENGE.domain,
    address=ADDRESS,
    statement=CHALLENGE.statement,
    uri=CHALLENGE.uri,
    chain_id=1,
    nonce=CHALLENGE.nonce,
    issued_at="2026-11-23T12:00:00Z",
    expiration_time="2026-11-23T12:10:00Z",
    request_id="R1",
)


def test_the_example_of_the_standard_is_read_whole() -> None:
    found = parse(EXAMPLE)
    assert found == SiweMessage(
        domain="example.com",
        address="0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2",
        statement="I accept the ExampleOrg Terms of Service: https://example.com/tos",
        uri="https://example.com/login",
        chain_id=1,
        nonce="32891756",
        issued_at="2021-09-30T16:25:24Z",
        resources=(
            "ipfs://bafybeiemxf5abjwjbikoz4mc3a3dla6ual3jsgpdr4cjr3oz3evfyavhwq/",
            "https://example.com/my-web2-claim.json",
        ),
    )
    assert found.text() == EXAMPLE


# The library siwe 4.4.0 (with abnf 2.2) was asked about all of these and all of the next. It takes the same ones, and three more which it
# then writes in another way or at another length than they came: a chain id with a zero before it, and a message of 7 kB among them.
@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE.replace("\nI accept the ExampleOrg Terms of Service: https://example.com/tos\n", "\n"),
        EXAMPLE.split("\nResources", maxsplit=1)[0],
        EXAMPLE.replace("example.com wants", "https://example.com:8443 wants"),
        EXAMPLE.replace("example.com wants", "user@127.0.0.1:80 wants"),
        EXAMPLE.replace("example.com wants", "[::1]:80 wants"),
        EXAMPLE.split("\nResources", maxsplit=1)[0] + "\nExpiration Time: 2021-09-30T16:25:24.123456789+02:00",
        EXAMPLE.split("\nResources", maxsplit=1)[0] + "\nNot Before: 2021-09-30T16:25:24Z\nRequest ID: some%20id",
        EXAMPLE.split("\nResources", maxsplit=1)[0] + "\nRequest ID: ",
        EXAMPLE.split("\nResources", maxsplit=1)[0] + "\nResources:",
    ],
)
def test_every_form_the_standard_allows_is_read_and_written_again(text: str) -> None:
    assert parse(text).text() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        EXAMPLE + "\n",
        EXAMPLE + " ",
        " " + EXAMPLE,
        EXAMPLE.replace("\n", "\r\n"),
        EXAMPLE.replace("Version: 1", "Version: 2"),
        EXAMPLE.replace("Chain ID: 1", "Chain ID: 01"),
        EXAMPLE.replace("Chain ID: 1", "Chain ID: 0x1"),
        EXAMPLE.replace("Chain ID: 1", "Chain ID: ١"),
        EXAMPLE.replace("Nonce: 32891756", "Nonce: 3289175"),
        EXAMPLE.replace("Nonce: 32891756", "Nonce: 3289-1756"),
        EXAMPLE.replace("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756CC2"),
        EXAMPLE.replace("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "0xc02aaa39b223fe8d0a0e5c4f27ead9083c756cc2"),
        EXAMPLE.replace("0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc2", "0xC02aaA39b223FE8D0A0e5C4F27eAD9083C756Cc"),
        EXAMPLE.replace("2021-09-30T16:25:24Z", "2021-09-30 16:25:24Z"),
        EXAMPLE.replace("2021-09-30T16:25:24Z", "2021-09-30T16:25:24"),
        EXAMPLE.replace("2021-09-30T16:25:24Z", "2021-02-30T16:25:24Z"),
        EXAMPLE.replace("2021-09-30T16:25:24Z", "2021-09-30T16:25:61Z"),
        EXAMPLE.replace("I accept", "Я приймаю"),
        EXAMPLE.replace("I accept", 'I "accept"'),
        EXAMPLE.replace("I accept", "I accept\nURI: https://evil.example"),
        EXAMPLE.replace("example.com wants", "exam ple.com wants"),
        EXAMPLE.replace("example.com wants", " wants"),
        EXAMPLE.replace("example.com wants", "еxample.com wants"),
        EXAMPLE.replace("- ipfs", "ipfs"),
        EXAMPLE.replace("URI: https://example.com/login", "URI: https://example.com/lo gin"),
        EXAMPLE.split("\nResources", maxsplit=1)[0] + "\nRequest ID: a\nNot Before: 2021-09-30T16:25:24Z",
        EXAMPLE.replace("I accept", "I accept" + "x" * 5000),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE + "\n- a://bbbbbbbbb" * 200 + "\n!",
        EXAMPLE + "\n- a:bb?c#d" * 200 + "\n!",
        EXAMPLE.replace("https://example.com/login", "a://" + "b" * 3000 + " "),
        EXAMPLE.replace("https://example.com/login", "a://" + "b:" * 1500 + " "),
        "a" * 4000 + EXAMPLE[:90],
        "%41" * 1300 + EXAMPLE[:90],
    ],
)
def test_a_message_made_to_be_read_in_very_many_ways_is_refused_all_the_same(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


SIGNER = keys.PrivateKey(bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"))
SIGNED = GOOD.text()


@settings(max_examples=400)
@given(
    st.integers(0, len(SIGNED)),
    st.characters(codec="utf-8") | st.sampled_from("\n\r 0a:/-"),
    st.sampled_from(["insert", "replace", "remove"]),
)
def test_one_changed_character_is_refused_or_says_something_that_was_not_signed(place: int, letter: str, how: str) -> None:
    rest = SIGNED[place:] if how == "insert" else SIGNED[place + 1 :]
    changed = SIGNED[:place] + ("" if how == "remove" else letter) + rest
    if changed == SIGNED:
        return
    assert personal_digest(changed) != personal_digest(SIGNED)
    try:
        found = parse(changed)
    except Invalid:
        return
    assert found != GOOD
    assert found.text() == changed


@given(st.text())
def test_no_text_makes_the_reader_do_anything_but_refuse(text: str) -> None:
    with pytest.raises(Invalid):
        parse(text)


def test_a_message_that_answers_the_challenge_counts() -> None:
    check(parse(SIGNED), CHALLENGE, NOW + timedelta(minutes=9))
    check(msgspec.structs.replace(GOOD, scheme="https", chain_id=31337), CHALLENGE, NOW)


@dataclass
class Case:
    told: str
    changes: dict[str, object]


@pytest.mark.parametrize(
    "case",
    [
        Case("domain", {"domain": "dao.example.evil"}),
        Case("domain", {"domain": "DAO.example"}),
        Case("uri", {"uri": "https://dao.example/link/"}),
        Case("statement", {"statement": "Link this wallet. Account: tg:1"}),
        Case("statement", {"statement": None}),
        Case("nonce", {"nonce": "7Z3K9M1Q5R8T2V4W6X0Z"}),
        Case("request id", {"request_id": None}),
        Case("chain id", {"chain_id": 2}),
        Case("scheme", {"scheme": "http"}),
        Case("resources", {"resources": ("https://dao.example",)}),
        Case("not before", {"not_before": "2026-11-23T12:00:00Z"}),
        Case("time of issue", {"issued_at": "2026-11-23T11:58:59Z"}),
        Case("time of issue", {"issued_at": "2026-11-23T12:01:01Z"}),
        Case("expiration time", {"expiration_time": None}),
        Case("expiration time", {"expiration_time": "2026-11-23T12:11:01Z"}),
    ],
)
def test_a_message_that_says_anything_else_than_the_challenge_is_refused_and_told_what(case: Case) -> None:
    with pytest.raises(Invalid, match=f"The message's {case.told} is not"):
        check(msgspec.structs.replace(GOOD, **case.changes), CHALLENGE, NOW)


@pytest.mark.parametrize(("expires", "now"), [("2026-11-23T12:10:00Z", 10), ("2026-11-23T12:05:00Z", 5), ("2026-11-23T12:10:30Z", 10)])
def test_a_message_past_its_time_is_gone(expires: str, now: int) -> None:
    with pytest.raises(Gone):
        check(msgspec.structs.replace(GOOD, expiration_time=expires), CHALLENGE, NOW + timedelta(minutes=now))


@given(st.binary(max_size=600))
def test_the_hash_is_ethereums(data: bytes) -> None:
    assert keccak256(data) == keccak(data)


@given(st.binary(min_size=20, max_size=20))
def test_checksums_are_those_of_eip_55(address: bytes) -> None:
    text = "0x" + address.hex()
    assert checksummed(text) == to_checksum_address(text)
    assert wallet_identity(checksummed(text)) == wallet_identity(text) == f"eth:{text}"


def test_what_a_wallet_signs_is_what_eth_account_says_it_signs() -> None:
    # Written down from eth-account 0.14.0, which is not imported here: py-ecc comes with it and lets Python recurse a hundred thousand
    # times, after which one deeply nested body ends the process.
    assert personal_digest(SIGNED).hex() == "a16bf7147dfb2e89130f562bdd8b3277ac41f83bd0986379c3a9ae7d823a9715"
    signature = (
        "0x76980d816190ae4fbf330df528b4bbf421731b210a034bbe3a2bebcdde0279f6"
        "18beeb50e97172befd6a3888fbb5037402cc134a982065cbde1c684b36f3cd161c"
    )
    assert signed(SIGNED, SIGNER.to_hex()) == signature
    check_plain(signature_bytes(signature))


def test_what_reads_signatures_leaves_the_interpreter_as_it_is() -> None:
    code = "import asyncio, sys; from dagi.identities.recovery import Recovery; "
    code += "asyncio.run(Recovery().signer(bytes(32), bytes(64) + bytes([27])))"
    told = "; print(sys.getrecursionlimit(), 'eth_keys' in sys.modules, 'eth_account' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code + told], capture_output=True, text=True, check=True).stdout  # noqa: S603
    assert said.split() == ["1000", "True", "False"]


@pytest.mark.parametrize(
    "address", ["", "0x12", ADDRESS[:-1], ADDRESS + "0", ADDRESS.upper(), ADDRESS.replace("f39F", "f39f"), "0x" + "é" * 40]
)
def test_a_mistyped_address_is_refused(address: str) -> None:
    with pytest.raises(Invalid):
        wallet_identity(address)


ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def test_the_other_signature_that_proves_the_same_is_refused() -> None:
    good = SIGNER.sign_msg_hash(personal_digest(SIGNED))
    check_plain(good.to_bytes()[:64] + bytes([good.v + 27]))
    mirrored = good.r.to_bytes(32, "big") + (ORDER - good.s).to_bytes(32, "big") + bytes([28 - good.v])
    with pytest.raises(Invalid, match="low s"):
        check_plain(mirrored)


@pytest.mark.parametrize("text", ["", "0x", "0x1", "1234", "0xzz", "0x" + "00" * 8193, "0x" + "00" * 64 + "\n"])
def test_what_is_no_signature_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        signature_bytes(text)


@given(st.binary(min_size=0, max_size=70))
def test_bytes_that_are_no_plain_signature_are_refused_and_nothing_else_happens(data: bytes) -> None:
    try:
        check_plain(data)
    except DagiError as error:
        assert isinstance(error, Invalid)
    else:
        assert len(data) == 65


@pytest.mark.parametrize(
    ("changes", "now"),
    [
        ({"issued_at": "2026-11-23T11:59:00Z"}, NOW),
        ({"issued_at": "2026-11-23T12:01:00Z"}, NOW),
        ({"expiration_time": "2026-11-23T12:11:00Z"}, NOW),
        ({"issued_at": "2026-11-23T12:00:00.1234567Z"}, NOW),
        ({}, NOW + timedelta(minutes=9, seconds=59)),
    ],
)
def test_clocks_may_differ_by_a_minute_and_no_more(changes: dict[str, object], now: datetime) -> None:
    check(parse(msgspec.structs.replace(GOOD, **changes).text()), CHALLENGE, now)


def test_the_scheme_is_that_of_the_page_whatever_its_port() -> None:
    challenge = msgspec.structs.replace(CHALLENGE, uri="https://dao.example:8443/link")
    check(msgspec.structs.replace(GOOD, scheme="https", uri=challenge.uri), challenge, NOW)


def test_a_message_is_read_up_to_its_longest() -> None:
    longest = msgspec.structs.replace(GOOD, statement="x" * (4096 - len(SIGNED) + len(CHALLENGE.statement)))
    assert (len(longest.text()), parse(longest.text())) == (4096, longest)
    with pytest.raises(Invalid):
        parse(msgspec.structs.replace(longest, nonce=GOOD.nonce + "0").text())
