"""What differs between two configurations."""

from hypothesis import given
from hypothesis import strategies as st

from dagi.config import ABSENT, Change, differences

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "name"]), children, max_size=3),
    max_leaves=8,
)
TREES = st.dictionaries(st.sampled_from(["llm_providers", "routing_rules", "server", "dao"]), JSON)


def provider(name: str, **config: object) -> dict[str, object]:
    return {"name": name, "type": "ollama", "config": config}


def test_named_things_are_compared_by_name_wherever_they_stand() -> None:
    before = {"llm_providers": [provider("a", model="x"), provider("b", model="y")]}
    after = {"llm_providers": [provider("new"), provider("a", model="z")]}
    assert differences(before, after) == [
        Change(key="llm_providers[a].config.model", before="x", after="z", restart=False),
        Change(key="llm_providers[b]", before=provider("b", model="y"), after=ABSENT, restart=False),
        Change(key="llm_providers[new]", before=ABSENT, after=provider("new"), restart=False),
    ]


def test_another_order_of_rules_is_a_difference() -> None:
    rules = [{"name": "one"}, {"name": "two"}]
    (change,) = differences({"routing_rules": rules}, {"routing_rules": rules[::-1]})
    assert (change.key, change.restart) == ("routing_rules, their order", False)


def test_what_a_running_stack_cannot_take_over_needs_a_restart() -> None:
    (change,) = differences({"server": {"port": 1}}, {"server": {"port": 2}})
    assert change == Change(key="server.port", before=1, after=2, restart=True)


def test_a_number_is_not_a_truth() -> None:
    assert differences({"server": {"port": 1}}, {"server": {"port": True}})


@given(TREES)
def test_nothing_differs_from_itself(tree: dict[str, object]) -> None:
    assert differences(tree, tree) == []


@given(TREES, TREES)
def test_whatever_is_not_the_same_differs(before: dict[str, object], after: dict[str, object]) -> None:
    assert bool(differences(before, after)) == (repr_of(before) != repr_of(after))


def repr_of(value: object) -> object:
    """The value with its types, whatever the order of keys."""
    if isinstance(value, dict):
        return {key: repr_of(child) for key, child in value.items()}
    if isinstance(value, list):
        return [repr_of(child) for child in value]
    return (type(value).__name__, value)
