"""Ethereum accounts: their spellings, what a signature has to be, and the hash under both."""

import pytest
from eth_hash.auto import keccak

from dagi.access.keccak import keccak256
from dagi.access.siwe import SiweMessage, parse
from dagi.access.wallets import account, check_plain, checksummed, signature_bytes, wallet_identity
from dagi.errors import Invalid

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
MIXED = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
# Both are EIP-55's own examples.
WITHOUT_CAPITALS = ("0xde709f2102306220921060314715629080e2fb77", "0x27b1fdb04752bbc536007a920d24acb045561c26")


@pytest.mark.parametrize(
    ("text", "identity"),
    [
        (f"eth:{MIXED}", f"eth:{MIXED.lower()}"),
        (f"eth:{MIXED.lower()}", f"eth:{MIXED.lower()}"),
        ("tg:12345", "tg:12345"),
        ("dc:a.b@c+d", "dc:a.b@c+d"),
    ],
)
def test_an_account_is_named_as_people_type_it(text: str, identity: str) -> None:
    assert account(text) == identity


@pytest.mark.parametrize("text", ["eth", MIXED, f"eth:x:{MIXED}", "tg:1:2"])
def test_what_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        account(text)


@pytest.mark.parametrize("address", WITHOUT_CAPITALS)
def test_a_wallet_whose_checksum_has_no_capitals_signs_in_like_any_other(address: str) -> None:
    assert checksummed(address) == address
    assert wallet_identity(address) == f"eth:{address}"
    message = SiweMessage(
        domain="dao.example", address=address, uri="https://dao.example", chain_id=1, nonce="32891756", issued_at="2026-11-23T12:00:00Z"
    )
    assert parse(message.text()) == message


def test_a_signature_is_of_any_length_up_to_its_bound() -> None:
    assert signature_bytes("0xAb01") == b"\xab\x01"
    assert signature_bytes("0x" + "ab" * 8192) == b"\xab" * 8192
    with pytest.raises(Invalid):
        signature_bytes("0x" + "ab" * 8193)
    with pytest.raises(Invalid):
        signature_bytes("0x" + "ab" * 8192 + "a")


def plain(r: int, s: int, v: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([v])


@pytest.mark.parametrize("signature", [plain(1, 1, 27), plain(1, 1, 28), plain(ORDER - 1, ORDER // 2, 27)])
def test_a_plain_signature_goes_up_to_the_bounds_of_the_curve(signature: bytes) -> None:
    check_plain(signature)


@pytest.mark.parametrize(
    "signature",
    [
        plain(0, 1, 27),
        plain(ORDER, 1, 27),
        plain(1, 0, 27),
        plain(1, ORDER // 2 + 1, 27),
        plain(1, 1, 26),
        plain(1, 1, 29),
        plain(1, 1, 0),
        plain(1, 1, 27)[:64] + b"\x1b\x1b",
        plain(1, 1, 27)[:63] + b"\x1b",
    ],
)
def test_beyond_the_bounds_of_the_curve_there_is_no_plain_signature(signature: bytes) -> None:
    with pytest.raises(Invalid):
        check_plain(signature)


@pytest.mark.parametrize("length", [0, 1, 134, 135, 136, 137, 271, 272, 408])
def test_the_hash_is_ethereums_where_a_block_is_just_full(length: int) -> None:
    assert keccak256(b"\xa5" * length) == keccak(b"\xa5" * length)
