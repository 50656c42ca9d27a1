"""The index of a rule set: it chooses what reading all rules in order would choose, whatever they ask for."""

import contextlib
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagi.access.entitlements import is_entitlement
from dagi.errors import NoRoute
from dagi.message import Grant, Message, Sender
from dagi.rules.compile import compile_rules
from dagi.rules.known import Known
from dagi.rules.language import language_of
from dagi.rules.patterns import Patterns
from dagi.rules.ruleset import RuleSet

KNOWN = Known(providers={"small", "large"}, configured={"small"}, selectable=set(), is_entitlement=is_entitlement)

_letters = st.sampled_from(["x", "y", "z"])
_scalars = st.sampled_from(["x", "1", 1, True, 1.0, "True", None])
_prompts = st.sampled_from(["", "hello x1 of the DAO", "Що це за DAO y2?", "Привет, что это y", "x" * 40, "x1 y2 " * 20])


def one_or_more(values: st.SearchStrategy[str]) -> st.SearchStrategy[object]:
    return values | st.lists(values, min_size=1, max_size=3)


_entitlements = one_or_more(st.sampled_from(["chat.use", "workflow.run:a", "workflow.run:b", "workflow.run:*", "facts.read"]))
_plain: Mapping[str, st.SearchStrategy[object]] = {
    "mode": one_or_more(st.sampled_from(["chat", "crew", "devtools"])),
    "agent": one_or_more(_letters),
    "dao_id": st.sampled_from(["green", "blue"]),
    "source": st.just("api"),
    "metadata": st.dictionaries(st.sampled_from(["p", "q", "agent"]), _scalars | st.lists(_scalars, max_size=2), min_size=1, max_size=2),
    "metadata_has": one_or_more(st.sampled_from(["p", "q", "provider"])),
    "role": one_or_more(st.sampled_from(["member", "admin"])),
    "entitlement": _entitlements,
    "prompt_matches": one_or_more(st.sampled_from(["x1", "y[0-9]", "^Що", "z$"])),
    "prompt_tokens_over": st.integers(0, 12),
    "prompt_tokens_under": st.integers(0, 12),
    "language": one_or_more(st.sampled_from(["uk", "ru", "en"])),
    "api_key_available": one_or_more(st.sampled_from(["small", "large"])),
}


def nested(inner: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    branches = st.lists(inner, min_size=1, max_size=3)
    return st.fixed_dictionaries({}, optional={**_plain, "any": branches, "all": branches, "not": inner})


_conditions = st.recursive(st.fixed_dictionaries({}, optional=dict(_plain)), nested, max_leaves=6)
_rules = st.lists(st.tuples(st.integers(0, 3), _conditions), max_size=8)


def _message(prompt: str, **fields: object) -> Message:
    sender = Sender(dao_id=str(fields.pop("dao_id")), user_id="tg:1")
    return Message(id="r1", sender=sender, prompt=prompt, **fields)


_messages = st.builds(
    _message,
    prompt=_prompts,
    mode=st.sampled_from(["chat", "crew", "devtools"]),
    agent=st.none() | _letters,
    dao_id=st.sampled_from(["green", "blue", "red"]),
    provider=st.none() | st.just("small"),
    metadata=st.dictionaries(st.sampled_from(["p", "q", "r"]), _scalars | st.lists(_scalars, max_size=2)),
)
_grants = st.builds(
    Grant,
    dao_id=st.just("green"),
    user_id=st.just("tg:1"),
    roles=st.lists(st.sampled_from(["member", "admin"]), max_size=2).map(tuple),
    entitlements=st.frozensets(st.sampled_from(["chat.use", "workflow.run:a", "workflow.run:*", "facts.read"])),
)


def compiled(raw: list[tuple[int, object]]) -> tuple[RuleSet, set[str]]:
    named = [
        {"name": f"r{index}", "priority": priority, "conditions": conditions, "use_provider": "small"}
        for index, (priority, conditions) in enumerate(raw)
    ]
    found, complaints = compile_rules(named, KNOWN)
    return found, {f"r{complaint.path[0]}" for complaint in complaints if "can never match" in complaint.text}


def chosen(rules: RuleSet, asked: Message, grant: Grant) -> str | None:
    try:
        return rules.choose(asked, grant).name
    except NoRoute:
        return None


@given(_rules, _messages, _grants)
def test_the_index_chooses_what_reading_all_rules_in_order_would_choose_and_what_is_explained(
    raw: list[tuple[int, object]], asked: Message, grant: Grant
) -> None:
    rules, _ = compiled(raw)
    expected = next((rule.name for rule in rules.rules if rule.matches(asked, grant)), None)
    explained = [verdict.rule for verdict in rules.explain(asked, grant) if verdict.outcome == "chosen"]
    assert chosen(rules, asked, grant) == expected
    assert explained == ([] if expected is None else [expected])


@given(_rules, _messages, _grants)
def test_a_rule_that_is_said_to_never_match_never_does(raw: list[tuple[int, object]], asked: Message, grant: Grant) -> None:
    rules, never = compiled(raw)
    with contextlib.suppress(NoRoute):
        assert rules.choose(asked, grant).name not in never


def test_a_rule_with_more_branches_than_an_index_holds_is_chosen_all_the_same() -> None:
    wide = {"any": [{"agent": f"a{n}", "task_type": f"t{n}"} for n in range(100)]}
    deep = {"all": [{"any": [{"agent": "x"}, {"mode": "crew"}]} for _ in range(10)]}
    rules, _ = compiled([(1, wide), (2, deep)])
    grant = Grant(dao_id="green", user_id="tg:1")
    assert chosen(rules, _message("", dao_id="green", agent="a70", task_type="t70"), grant) == "r0"
    assert chosen(rules, _message("", dao_id="green", agent="a70", task_type="t71"), grant) is None
    assert chosen(rules, _message("", dao_id="green", agent="x"), grant) == "r1"


def test_expressions_too_large_for_one_automaton_are_still_all_found() -> None:
    heavy = [rf"(?i)[a-яi]*a.{{{n % 60 + 1}}}x{n}$" for n in range(1000)]
    assert Patterns([*heavy, "plain"]).found(f"a plain text a {'-' * 10} x9") == ["plain"]
    assert Patterns(heavy).found("a" + "-" * 10 + "x9") == [heavy[9]]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("uk", "Що це за DAO?"),
        ("uk", "Привіт"),
        ("uk", "Коли голосування?"),
        ("uk", "Що таке GreenFood DAO governance"),
        ("ru", "Привет, что это за DAO?"),
        ("ru", "Когда голосование?"),
        ("be", "Гэта што за суполка?"),
        ("bg", "Какво е това DAO?"),
        ("en", "What is this DAO?"),
        ("en", "Deploy"),
        ("en", "Explain the word толока in the context of the DAO's governance"),
        ("de", "Was ist das für eine Gemeinschaft?"),
        ("fr", "Quelle est la règle?"),
        ("es", "¿Qué es esta DAO?"),
        ("it", "Cos'è questa DAO?"),
        ("pt", "O que é esta DAO?"),
        ("pl", "Co to jest za DAO?"),
        ("cs", "Co je to za DAO?"),
        ("tr", "Bu DAO nedir?"),
        ("ja", "これは何ですか"),
        ("zh", "这是什么"),
        ("", "42?"),
        ("", ""),
    ],
)
def test_a_language_is_told_by_its_letters_and_its_commonest_words(language: str, text: str) -> None:
    assert language_of(text) == language
