"""Routing rules: choosing, explaining, and complaints about mistakes."""

from collections.abc import Mapping, Sequence

import pytest

from dagi.access.entitlements import is_entitlement
from dagi.errors import Invalid, NoRoute, UnknownModel
from dagi.message import Grant, Message, Sender, Turn
from dagi.rules.compile import compile_rules
from dagi.rules.known import Known
from dagi.rules.rule import Complaint, Wanted
from dagi.rules.ruleset import RuleSet

KNOWN = Known(providers={"small", "large", "facts"}, configured={"small", "facts"}, selectable={"large"}, is_entitlement=is_entitlement)
GRANT = Grant(dao_id="green", user_id="tg:1", roles=("member",), entitlements=frozenset({"chat.use"}), reason="role_grants")


def message(prompt: str = "hello", **fields: object) -> Message:
    sender = Sender(dao_id=str(fields.pop("dao_id", "green")), user_id="tg:1", source=fields.pop("source", "api"))
    return Message(id="r1", sender=sender, prompt=prompt, **fields)


def rules(*raw: Mapping[str, object]) -> RuleSet:
    compiled, complaints = compile_rules(raw, KNOWN)
    assert [complaint for complaint in complaints if complaint.fatal] == []
    return compiled


def rule(name: str, priority: int = 10, /, **keys: object) -> Mapping[str, object]:
    return {"name": name, "priority": priority, "use_provider": "small", **keys}


def complaints(*raw: Mapping[str, object], known: Known = KNOWN) -> Sequence[Complaint]:
    return compile_rules(raw, known)[1]


def chosen(compiled: RuleSet, asked: Message, grant: Grant = GRANT) -> str:
    return compiled.choose(asked, grant).name


def test_the_lowest_priority_number_that_matches_is_chosen() -> None:
    compiled = rules(rule("late", 20), rule("early", 10, conditions={"mode": "chat"}))
    assert chosen(compiled, message()) == "early"
    assert chosen(compiled, message(mode="crew", workflow="x")) == "late"


def test_equal_priorities_keep_the_order_of_the_file() -> None:
    compiled = rules(rule("a", conditions={"agent": "x"}), rule("b", conditions={"mode": "chat"}), rule("c", conditions={"agent": "y"}))
    assert chosen(compiled, message(agent="x")) == "a"
    assert chosen(compiled, message(agent="y")) == "b"


def test_no_matching_rule_is_an_error_that_names_the_mode() -> None:
    with pytest.raises(NoRoute) as caught:
        rules(rule("a", conditions={"mode": "crew"})).choose(message(), GRANT)
    assert caught.value.facts == {"mode": "chat"}


@pytest.mark.parametrize(
    ("conditions", "matching", "other"),
    [
        ({"mode": ["crew", "devtools"]}, message(mode="crew"), message()),
        ({"agent": "devtools"}, message(agent="devtools"), message()),
        ({"source": "telegram"}, message(source="telegram"), message()),
        ({"dao_id": "green"}, message(), message(dao_id="blue")),
        ({"task_type": "code"}, message(task_type="code"), message(task_type="prose")),
        ({"metadata": {"lang": "uk"}}, message(metadata={"lang": "uk"}), message(metadata={"lang": "en"})),
        ({"metadata": {"depth": [1, 2]}}, message(metadata={"depth": 2}), message(metadata={"depth": True})),
        ({"metadata_has": ["a", "b"]}, message(metadata={"a": 1, "b": 0}), message(metadata={"a": 1})),
        ({"metadata_has": "provider"}, message(provider="large"), message()),
        ({"prompt_matches": "(?i)solidity|vyper"}, message("a Vyper contract"), message("a bike")),
        ({"prompt_tokens_over": 10}, message("x" * 44), message("x" * 43)),
        ({"prompt_tokens_under": 10}, message("x" * 39), message("x" * 40)),
        ({"prompt_tokens_over": 10}, message("x", earlier=(Turn("user", "y" * 44),)), message("x")),
        ({"language": "uk"}, message("Що це за DAO?"), message("What is this?")),
        ({"language": ["en", "ru"]}, message("Что это такое?"), message("Що це таке?")),
        ({"api_key_available": ["large", "small"], "agent": "x"}, message(agent="x"), message()),
        ({"any": [{"agent": "a"}, {"task_type": "t"}]}, message(task_type="t"), message()),
        ({"all": [{"agent": "a"}, {"task_type": "t"}]}, message(agent="a", task_type="t"), message(agent="a")),
        ({"not": {"agent": "a"}}, message(), message(agent="a")),
        ({"not": {"agent": "a", "task_type": "t"}}, message(agent="a"), message(agent="a", task_type="t")),
    ],
)
def test_a_condition_holds_for_what_it_describes_alone(conditions: Mapping[str, object], matching: Message, other: Message) -> None:
    compiled = rules(rule("it", conditions=conditions), rule("rest", 99))
    assert chosen(compiled, matching) == "it"
    assert chosen(compiled, other) == "rest"


def test_role_and_entitlement_are_read_from_the_grant_and_never_from_the_caller() -> None:
    compiled = rules(
        rule("admins", conditions={"role": "admin"}),
        rule("workers", conditions={"entitlement": "workflow.run:code_review"}),
        rule("rest", 99),
    )
    claiming = message(metadata={"role": "admin", "entitlement": "workflow.run:*"})
    admin = Grant(dao_id="green", user_id="tg:1", roles=("admin",), entitlements=frozenset())
    worker = Grant(dao_id="green", user_id="tg:1", roles=("x",), entitlements=frozenset({"workflow.run:*"}))
    assert [chosen(compiled, claiming, grant) for grant in (GRANT, admin, worker)] == ["rest", "admins", "workers"]


def test_a_wish_counts_only_for_providers_marked_selectable() -> None:
    compiled = rules({"name": "wish", "use_metadata": "provider", "fallback_provider": ["small", "large"]})
    by_wish = compiled.choose(message(provider="large"), GRANT)
    assert by_wish.chain(message(provider="large"), frozenset({"large"})) == ("large", "small")
    assert by_wish.chain(message(), frozenset({"large"})) == ("small", "large")
    with pytest.raises(UnknownModel) as caught:
        by_wish.chain(message(provider="small"), frozenset({"large"}))
    assert caught.value.facts == {"provider": "small", "allowed": ["large"]}


def test_a_rule_that_follows_a_wish_without_one_and_without_fallback_names_the_field() -> None:
    compiled = rules({"name": "wish", "use_metadata": "provider"})
    with pytest.raises(Invalid) as caught:
        compiled.choose(message(), GRANT).chain(message(), frozenset({"large"}))
    assert caught.value.facts["field"] == "metadata.provider"


def test_limits_requirement_and_context_are_read_in_their_units() -> None:
    found = rules(rule("a", timeout_ms=5000, deadline_ms=30000, requires="chat.use", context={"facts": True})).rules[0]
    assert (found.timeout_s, found.deadline_s, found.requires, found.wanted) == (5.0, 30.0, "chat.use", Wanted(facts=True))


@pytest.mark.parametrize(
    ("raw", "path", "text"),
    [
        ({"name": "a", "use_provider": "smal"}, (0, "use_provider"), 'did you mean "small"?'),
        ({"name": "a", "use_provider": "small", "fallback_provider": ["fact"]}, (0, "fallback_provider"), 'did you mean "facts"?'),
        ({"name": "a"}, (0,), "says no target"),
        ({"use_provider": "small"}, (0, "name"), "needs a name"),
        (rule("a", prioritty=1), (0, "prioritty"), 'did you mean "priority"?'),
        (rule("a", conditions={"mod": "chat"}), (0, "conditions", "mod"), 'did you mean "mode"?'),
        (rule("a", conditions={"mode": "chatt"}), (0, "conditions", "mode"), 'did you mean "chat"?'),
        (rule("a", conditions={"source": "irc"}), (0, "conditions", "source"), "is not a source"),
        (rule("a", conditions={"prompt_matches": "("}), (0, "conditions", "prompt_matches"), "not a regular expression"),
        (rule("a", conditions={"prompt_matches": "(?=x)"}), (0, "conditions", "prompt_matches"), "RE2"),
        (rule("a", conditions={"prompt_tokens_over": -1}), (0, "conditions", "prompt_tokens_over"), "0 or more"),
        (rule("a", conditions={"entitlement": "chat.us"}), (0, "conditions", "entitlement"), "is not an entitlement"),
        (rule("a", conditions={"any": []}), (0, "conditions", "any"), "list of mappings"),
        (rule("a", conditions={"any": [{"mod": "x"}]}), (0, "conditions", "any", 0, "mod"), "is not a condition"),
        (rule("a", conditions={"agent": []}), (0, "conditions", "agent"), "must be a text"),
        (rule("a", conditions={"metadata": "x"}), (0, "conditions", "metadata"), "must be a mapping"),
        (rule("a", conditions=["mode"]), (0, "conditions"), "must be a mapping of conditions"),
        (rule("a", requires="chat.us"), (0, "requires"), "nobody could ever pass"),
        (rule("a", timeout_ms=0), (0, "timeout_ms"), "milliseconds"),
        (rule("a", deadline_ms="soon"), (0, "deadline_ms"), "milliseconds"),
        (rule("a", priority="high"), (0, "priority"), "whole number"),
        (rule("a", context={"fact": True}), (0, "context", "fact"), 'did you mean "facts"?'),
        (rule("a", context={"facts": "yes"}), (0, "context", "facts"), "true or false"),
        (rule("a", conditions={"language": "ua"}), (0, "conditions", "language"), "is not a language that is recognised"),
        (rule("a", conditions={"api_key_available": "larg"}), (0, "conditions", "api_key_available"), 'did you mean "large"?'),
        (rule("a", parameters={"temprature": 1}), (0, "parameters", "temprature"), 'did you mean "temperature"?'),
        (rule("a", parameters={"temperature": 3}), (0, "parameters", "temperature"), "from 0 to 2"),
        (rule("a", parameters={"max_tokens": True}), (0, "parameters", "max_tokens"), "whole number"),
        (rule("a", parameters={"max_tokens": 10**400}), (0, "parameters", "max_tokens"), "whole number"),
        (rule("a", parameters={"stop": []}), (0, "parameters", "stop"), "list of 1 to 16 texts"),
        (rule("a", parameters={"model": "x"}), (0, "parameters", "model"), "a model of its own"),
        (rule("a", parameters={"max_tokens": 1, "max_completion_tokens": 1}), (0, "parameters", "max_completion_tokens"), "another name"),
        (rule("a", parameters=[]), (0, "parameters"), "must be a mapping"),
        (rule("a", cache={"ttl": 5}), (0, "cache"), "must be {ttl_s: N}"),
        (rule("a", cache={"ttl_s": 5, "max": 5}), (0, "cache", "max"), "is not a key of cache"),
        (rule("a", cache={"ttl_s": 0}), (0, "cache"), "above 0"),
        (rule("a", use_provider=["small", "large"]), (0, "use_provider", 0), "fallback_provider"),
        (rule("a", use_provider=[]), (0, "use_provider"), "nobody could be asked"),
        (rule("a", use_provider=[{"name": "small", "weight": 0}]), (0, "use_provider"), "nobody could be asked"),
        (rule("a", use_provider=[{"name": "smal", "weight": 1}]), (0, "use_provider", 0, "name"), 'did you mean "small"?'),
        (rule("a", use_provider=[{"name": "small", "wait": 1}]), (0, "use_provider", 0, "wait"), 'did you mean "weight"?'),
        (rule("a", use_provider=[{"name": "small", "weight": -1}]), (0, "use_provider", 0, "weight"), "from 0"),
        (rule("a", use_provider=[{"name": "small", "weight": 1}] * 2), (0, "use_provider", 1, "name"), "has a weight already"),
        (rule("a", use_metadata="model"), (0, "use_metadata"), "can only be"),
        (rule("a", use_metadata="provider"), (0, "use_provider"), "cannot stand beside use_metadata"),
        (rule("a", conditions={"prompt_tokens_over": 5, "prompt_tokens_under": 6}), (0, "conditions"), "can never match"),
        (rule("a", conditions={"mode": "chat", "all": [{"mode": "crew"}]}), (0, "conditions"), "can never match"),
        (rule("a", conditions={"metadata": {"n": 1}, "all": [{"metadata": {"n": True}}]}), (0, "conditions"), "can never match"),
        (rule("a", conditions={"mode": "chat", "not": {"mode": ["chat", "crew"]}}), (0, "conditions"), "can never match"),
        (rule("a", conditions={"mode": "chat", "not": {"any": [{"mode": "chat"}, {"agent": "x"}]}}), (0, "conditions"), "can never match"),
        (rule("a", conditions={"not": {}}), (0, "conditions", "not"), "can never match"),
        (rule("a", conditions={"not": {"all": [{}]}}), (0, "conditions", "not"), "can never match"),
        (rule("a", conditions={"metadata": {"source": "telegram"}}), (0, "conditions", "metadata", "source"), "use the condition source"),
        (rule("a", conditions={"metadata_has": ["dao_id", "x"]}), (0, "conditions", "metadata_has"), "use the condition dao_id"),
    ],
)
def test_a_mistake_in_a_rule_is_told_with_its_place_and_what_to_write(
    raw: Mapping[str, object], path: tuple[str | int, ...], text: str
) -> None:
    assert any(complaint.path == path and text in complaint.text and complaint.fatal for complaint in complaints(raw))


def test_two_rules_of_one_name_and_a_rule_behind_a_catch_all_are_mistakes() -> None:
    found = complaints(rule("a", 10), rule("a", 20, conditions={"agent": "x"}))
    assert [complaint.path for complaint in found] == [(1, "name"), (1, "conditions")]
    assert "the rule 'a' comes first" in found[1].text


def test_a_narrower_rule_behind_a_wider_one_is_a_mistake_and_a_wider_one_behind_a_narrower_is_not() -> None:
    wide = {"mode": ["chat", "crew"]}
    narrow = {"mode": "chat", "agent": "x"}
    assert [c.path for c in complaints(rule("w", 1, conditions=wide), rule("n", 2, conditions=narrow))] == [(1, "conditions")]
    assert complaints(rule("n", 1, conditions=narrow), rule("w", 2, conditions=wide)) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"metadata": {"plain": True}}, {"metadata": {"plain": "True"}}),
        ({"metadata": {"depth": 1}}, {"metadata": {"depth": True}}),
        ({"metadata": {"depth": 1}}, {"metadata": {"depth": "1"}}),
        ({"prompt_matches": "a | b"}, {"prompt_matches": ["a", "b"]}),
        ({"role": "a | b"}, {"role": ["a", "b"]}),
        ({"not": {"agent": "a | b"}}, {"not": {"agent": ["a", "b"]}}),
        ({"any": [{"agent": "a, task_type: b"}]}, {"any": [{"agent": "a", "task_type": "b"}]}),
        ({"metadata": {"lang": {"a": 1}}}, {"metadata": {"lang": "{'a': 1}"}}),
    ],
)
def test_conditions_that_only_look_alike_are_told_apart(first: Mapping[str, object], second: Mapping[str, object]) -> None:
    assert complaints(rule("a", 1, conditions=first), rule("b", 2, conditions=second)) == []
    assert [c.path for c in complaints(rule("a", 1, conditions=first), rule("b", 2, conditions=first))] == [(1, "conditions")]


def test_among_a_thousand_rules_the_covered_one_is_found_and_no_other() -> None:
    many = [rule(f"r{n}", conditions={"mode": "chat", "dao_id": f"d{n}", "metadata": {"level": n}}) for n in range(1000)]
    assert complaints(*many) == []
    covered = rule("late", conditions={"dao_id": "d700", "metadata": {"level": 700}, "mode": "chat", "agent": "x"})
    assert ["'r700' comes first" in c.text for c in complaints(*many, covered)] == [True]


def test_following_a_wish_without_selectable_providers_is_a_mistake() -> None:
    known = Known(providers={"small"}, configured={"small"}, selectable=set(), is_entitlement=is_entitlement)
    assert "selectable: true" in complaints({"name": "a", "use_metadata": "provider"}, known=known)[0].text


def test_conditions_nested_without_end_are_a_mistake_and_no_crash() -> None:
    nested: Mapping[str, object] = {"mode": "chat"}
    for _ in range(500):
        nested = {"not": nested}
    assert any("nested deeper" in complaint.text for complaint in complaints(rule("a", conditions=nested)))


def test_an_explanation_names_for_every_rule_the_condition_that_decided() -> None:
    compiled = rules(
        rule("a", 1, conditions={"mode": "crew"}),
        rule("b", 2, conditions={"mode": "chat", "role": "member"}),
        rule("c", 3),
    )
    assert [(v.rule, v.outcome, v.condition) for v in compiled.explain(message(), GRANT)] == [
        ("a", "failed", "mode: crew"),
        ("b", "chosen", "mode: chat, role: member"),
        ("c", "not_reached", ""),
    ]


def test_a_provider_without_its_key_is_not_available_and_that_is_no_mistake() -> None:
    raw = rule("a", 1, conditions={"api_key_available": "large"}), rule("b", 2)
    assert complaints(*raw) == []
    assert chosen(rules(*raw), message()) == "b"
    assert chosen(rules(rule("a", 1, conditions={"not": {"api_key_available": "large"}}), rule("b", 2)), message()) == "a"


def test_a_pattern_that_would_take_for_ever_elsewhere_takes_linear_time() -> None:
    compiled = rules(rule("a", conditions={"prompt_matches": "(a+)+$"}), rule("rest", 99))
    assert chosen(compiled, message("a" * 50_000 + "b")) == "rest"
