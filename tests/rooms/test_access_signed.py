"""Signed grants: whole or refused."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import SigningKey

from dagi.access.signed import LASTS, SKEW, Signed, Signer, Verifier
from dagi.errors import Unauthenticated
from dagi.message import Grant

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SIGNER = Signer(bytes(range(32)))
VERIFIER = Verifier(SIGNER.public_key, "devtools")
GRANT = Grant(
    dao_id="green",
    user_id="tg:1",
    roles=("contributor",),
    entitlements=frozenset({"devtools.read", "workflow.run:*"}),
    reason="role_grants",
    decision_id="d1",
    policy_version=7,
)
SIGNED = SIGNER.sign(GRANT, "devtools", NOW, "k1")
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_."


def test_a_signed_grant_comes_back_as_it_was() -> None:
    signed = SIGNER.sign(GRANT, "devtools", NOW, "k1")
    assert signed == SIGNED
    assert Verifier(SIGNER.public_key, "devtools").read(signed, NOW) == Signed(GRANT, "k1")
    assert VERIFIER.read(signed, NOW + LASTS).grant == GRANT
    assert VERIFIER.read(signed, NOW - SKEW).grant == GRANT


def test_what_is_signed_can_be_read_by_anybody_and_says_what_it_should() -> None:
    form, payload, signature = SIGNER.sign(GRANT, "devtools", NOW).split(".")
    padded = payload + "=" * (-len(payload) % 4)
    assert json.loads(base64.urlsafe_b64decode(padded)) == {
        "aud": "devtools",
        "dao": "green",
        "sub": "tg:1",
        "roles": ["contributor"],
        "may": ["devtools.read", "workflow.run:*"],
        "reason": "role_grants",
        "decision_id": "d1",
        "policy_version": 7,
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 60,
        "key": "",
    }
    assert (form, len(signature)) == ("dagi1", 86)


def signed_by_hand(issued: int, lasts: int) -> str:
    """A grant whose times are as one likes, signed as it should be."""
    times = {"iat": issued, "exp": issued + lasts}
    about = {"aud": "devtools", "dao": "green", "sub": "tg:1", "key": ""}
    payload = {**about, "roles": [], "may": [], "reason": "r", "decision_id": "d", **times}
    text = base64.urlsafe_b64encode(json.dumps(payload | {"policy_version": 1}).encode()).rstrip(b"=").decode()
    signature = SigningKey(bytes(range(32))).sign(f"dagi1.{text}".encode()).signature
    return f"dagi1.{text}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("seconds", [10**18, -(10**18), 10**400])
def test_a_time_beyond_all_time_is_refused_though_it_is_signed(seconds: int) -> None:
    with pytest.raises(Unauthenticated, match="refused: (it is past its time|its signature is not ours)\\.$"):
        VERIFIER.read(signed_by_hand(seconds, 60), NOW)


def test_a_grant_that_would_last_longer_is_refused_though_it_is_signed() -> None:
    now = int(NOW.timestamp())
    assert VERIFIER.read(signed_by_hand(now, 60), NOW).grant.user_id == "tg:1"
    with pytest.raises(Unauthenticated, match="past its time"):
        VERIFIER.read(signed_by_hand(now, 3600), NOW)


@given(st.integers(0, len(SIGNED) - 1), st.sampled_from(ALPHABET))
def test_no_character_of_it_can_be_another_one(place: int, character: str) -> None:
    changed = SIGNED[:place] + character + SIGNED[place + 1 :]
    if changed != SIGNED:
        with pytest.raises(Unauthenticated):
            VERIFIER.read(changed, NOW)


@given(st.integers(0, len(SIGNED)), st.text(alphabet=ALPHABET + "=+/ \n\x00ä", min_size=1, max_size=5))
def test_nothing_can_be_added_to_it_or_taken_away(place: int, text: str) -> None:
    for changed in (SIGNED[:place] + text + SIGNED[place:], SIGNED[:place] + SIGNED[place + len(text) :]):
        if changed != SIGNED:
            with pytest.raises(Unauthenticated):
                VERIFIER.read(changed, NOW)


@given(st.text(max_size=200) | st.just("dagi1." * 10_000))
def test_no_text_is_a_grant_by_chance_or_breaks_the_reading(text: str) -> None:
    with pytest.raises(Unauthenticated):
        VERIFIER.read(text, NOW)


@pytest.mark.parametrize("late", [-SKEW - timedelta(seconds=1), LASTS + SKEW, timedelta(days=365)])
def test_it_is_good_for_its_minute_and_no_longer(late: timedelta) -> None:
    with pytest.raises(Unauthenticated, match="past its time"):
        VERIFIER.read(SIGNED, NOW + late)


def test_it_is_good_for_the_service_it_was_signed_for_and_by_this_signer_alone() -> None:
    with pytest.raises(Unauthenticated, match="another service"):
        Verifier(SIGNER.public_key, "orchestrator").read(SIGNED, NOW)
    with pytest.raises(Unauthenticated, match="signature"):
        Verifier(Signer(bytes(32)).public_key, "devtools").read(SIGNED, NOW)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it is not of the form of one"),
        ("dagi2.YQ.YQ", "it is not of the form of one"),
        ("dagi1.Y.YQ", "it is not of the form of one"),
        ("dagi1.YR.YQ", "it is not of the form of one"),
        ("dagi1.YQ.YQ", "its signature is not ours"),
        ("dagi1.YWE." + "YWFh" * 4093 + "YQ", "its signature is not ours"),
        ("dagi1.YWE." + "YWFh" * 4093 + "YWE", "it is not of the form of one"),
    ],
)
def test_what_is_no_grant_is_told_why(text: str, why: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        VERIFIER.read(text, NOW)
    assert caught.value.message == f"The grant that was sent is refused: {why}."
