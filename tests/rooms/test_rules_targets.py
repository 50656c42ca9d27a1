"""What a rule says beside its conditions: shares, model parameters, reuse."""

from collections import Counter

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.access.entitlements import is_entitlement
from dagi.errors import Invalid
from dagi.message import Limits, Message, Sender
from dagi.rules.compile import compile_rules
from dagi.rules.known import Known
from dagi.rules.rule import Rule

PROVIDERS = {"a", "b", "c", "facts"}
WEIGHTED = [{"name": "a", "weight": 60}, {"name": "b", "weight": 30}, {"name": "c", "weight": 10}]


def compiled(configured: set[str] = PROVIDERS, /, **keys: object) -> Rule:
    known = Known(providers=PROVIDERS, configured=configured, selectable=set(), is_entitlement=is_entitlement)
    rules, complaints = compile_rules([{"name": "rule", "use_provider": "a", **keys}], known)
    assert complaints == []
    return rules.rules[0]


def message(session: str = "", user: str = "tg:1", options: bytes | None = None) -> Message:
    raw = None if options is None else msgspec.Raw(options)
    return Message(id="r", sender=Sender(dao_id="green", user_id=user, session_id=session), prompt="hi", options=raw)


def firsts(rule: Rule, count: int = 2000) -> list[str]:
    return [rule.chain(message(f"session-{number}"), frozenset())[0] for number in range(count)]


def test_conversations_are_shared_by_weight_and_the_others_are_no_fallbacks() -> None:
    rule = compiled(use_provider=WEIGHTED, fallback_provider=["facts", "b"])
    counts = Counter(firsts(rule))
    assert counts == {"a": pytest.approx(1200, abs=120), "b": pytest.approx(600, abs=120), "c": pytest.approx(200, abs=80)}
    chains = {rule.chain(message(f"session-{number}"), frozenset()) for number in range(100)}
    assert chains == {("a", "facts", "b"), ("b", "facts"), ("c", "facts", "b")}


@given(st.text(max_size=20), st.text(max_size=20))
def test_a_session_stays_with_its_provider_whoever_speaks_and_a_person_without_one_does_too(session: str, user: str) -> None:
    rule = compiled(use_provider=WEIGHTED)
    assert rule.chain(message(session or "s", user), frozenset()) == rule.chain(message(session or "s", "tg:2"), frozenset())
    assert rule.chain(message("", user), frozenset()) == rule.chain(message("", user), frozenset())


def test_the_choice_is_the_same_in_every_process() -> None:
    assert "".join(firsts(compiled(use_provider=WEIGHTED), 24)) == FIRST_24


FIRST_24 = "acabaaaaaaaaaacbacaaaaaa"


def test_a_provider_without_its_key_leaves_its_share_to_the_others_and_nobody_else_moves() -> None:
    before = firsts(compiled(use_provider=WEIGHTED))
    rule = compiled({"a", "c"}, use_provider=WEIGHTED)
    after = firsts(rule)
    assert [share.share for share in rule.shares] == [pytest.approx(6 / 7), 0, pytest.approx(1 / 7)]
    assert "b" not in after
    assert all(one == other for one, other in zip(before, after, strict=True) if one != "b")


def test_where_no_share_can_be_asked_the_chain_still_says_what_is_missing() -> None:
    rule = compiled({"facts"}, use_provider=WEIGHTED, fallback_provider="facts")
    assert set(firsts(rule, 200)) == {"a", "b", "c"}
    assert rule.chain(message(), frozenset())[1] == "facts"


def test_a_weight_of_zero_takes_no_share() -> None:
    assert set(firsts(compiled(use_provider=[{"name": "a", "weight": 1}, {"name": "b", "weight": 0}]), 200)) == {"a"}


def options_of(rule: Rule, options: bytes | None = None) -> object:
    shaped = rule.shaped(message(options=options), lambda: 0.0)
    return None if shaped.options is None else msgspec.json.decode(shaped.options)


def test_a_rules_parameters_go_under_the_callers() -> None:
    rule = compiled(parameters={"temperature": 0.2, "max_tokens": 400, "stop": ["x"]})
    assert options_of(rule) == {"temperature": 0.2, "max_tokens": 400, "stop": ["x"]}
    assert options_of(rule, b'{"temperature": 1, "tools": []}') == {"temperature": 1, "max_tokens": 400, "stop": ["x"], "tools": []}


def test_either_name_of_the_token_limit_is_the_callers_word_and_null_is_none() -> None:
    rule = compiled(parameters={"max_tokens": 400})
    assert options_of(rule, b'{"max_completion_tokens": 9}') == {"max_completion_tokens": 9}
    assert options_of(rule, b'{"max_tokens": null}') == {"max_tokens": 400}


def test_options_that_are_no_object_are_the_callers_mistake() -> None:
    with pytest.raises(Invalid):
        options_of(compiled(parameters={"seed": 1}), b"[1]")


def test_a_rule_that_says_nothing_leaves_the_message_as_it_is() -> None:
    asked = message(options=b"{}")
    assert compiled().shaped(asked, lambda: 5.0) is asked
    shaped = compiled(timeout_ms=2000, deadline_ms=3000, cache={"ttl_s": 60}).shaped(asked, lambda: 5.0)
    assert (shaped.limits, shaped.reuse_s, shaped.options) == (Limits(timeout_s=2.0, deadline=8.0), 60.0, asked.options)
