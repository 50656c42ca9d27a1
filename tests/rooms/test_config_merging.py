from hypothesis import given
from hypothesis import strategies as st

from dagi.config.marks import Branch, Items, Leaf, Mark, Node, plain
from dagi.config.merging import merge, merged, name_of

SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "b"])
KEYS = st.sampled_from(["a", "b", "c", "routing_rules"])
NAMES = st.sampled_from(["one", "two", "three"])
MARKS = st.builds(Mark, st.sampled_from(["low.yml", "high.yml"]), st.none() | st.integers(1, 9))


def branches(entries: st.SearchStrategy[dict[str, Node]]) -> st.SearchStrategy[Branch]:
    return st.builds(Branch, entries, MARKS)


LEAVES = st.builds(Leaf, SCALARS, MARKS)
NODES: st.SearchStrategy[Node] = st.recursive(
    LEAVES,
    lambda inner: branches(st.dictionaries(KEYS, inner, max_size=3)) | st.builds(Items, st.lists(inner, max_size=3).map(tuple), MARKS),
    max_leaves=6,
)


@st.composite
def entries(draw: st.DrawFn, name: str) -> Branch:
    body = draw(st.dictionaries(KEYS, NODES, max_size=2))
    return Branch({"name": Leaf(name, draw(MARKS)), **body}, draw(MARKS))


@st.composite
def named_lists(draw: st.DrawFn) -> Items:
    names = draw(st.lists(NAMES, unique=True, max_size=3))
    return Items(tuple(draw(entries(name)) for name in names), draw(MARKS))


@st.composite
def layers(draw: st.DrawFn) -> Branch:
    """Any layer, well formed or not: also one whose providers are no list."""
    body = draw(st.dictionaries(KEYS, NODES, max_size=3))
    providers = draw(st.none() | named_lists() | LEAVES)
    return Branch(body if providers is None else {**body, "llm_providers": providers}, draw(MARKS))


@given(layers(), layers(), layers())
def test_merging_is_associative(low: Branch, middle: Branch, high: Branch) -> None:
    assert merge(merge(low, middle), high) == merge(low, merge(middle, high))


@given(layers())
def test_an_empty_layer_changes_no_value(layer: Branch) -> None:
    empty = Branch({}, Mark("empty.yml", 1))

    assert plain(merge(layer, empty)) == plain(layer) == plain(merge(empty, layer))


@given(layers())
def test_a_layer_over_itself_changes_nothing(layer: Branch) -> None:
    assert plain(merge(layer, layer)) == plain(layer)


def agrees(high: object, result: object) -> bool:
    """Everything the later layer says stands in the result."""
    if isinstance(high, dict):
        return isinstance(result, dict) and all(key in result and agrees(value, result[key]) for key, value in high.items())
    return high == result


@given(layers(), layers())
def test_the_later_layer_wins(low: Branch, high: Branch) -> None:
    said, result = plain(high), plain(merge(low, high))

    assert isinstance(said, dict)
    assert isinstance(result, dict)
    providers = said.pop("llm_providers", [])
    assert agrees(said, result)
    for entry in providers if isinstance(providers, list) else []:
        assert any(agrees(entry, other) for other in result["llm_providers"])


@given(layers(), layers())
def test_what_the_later_layer_does_not_say_stays(low: Branch, high: Branch) -> None:
    result = merge(low, high)

    for key in low.entries.keys() - high.entries.keys():
        assert result.entries[key] == low.entries[key]


@given(named_lists(), named_lists())
def test_entries_keep_their_place_and_new_ones_follow(low: Items, high: Items) -> None:
    mark = Mark("x", 1)
    result = merged([Branch({"llm_providers": low}, mark), Branch({"llm_providers": high}, mark)]).entries["llm_providers"]

    assert isinstance(result, Items)
    old = [name_of(node) for node in low.nodes]
    new = [name_of(node) for node in high.nodes]
    assert [name_of(node) for node in result.nodes] == old + [name for name in new if name not in old]


def test_lists_without_names_are_replaced() -> None:
    mark = Mark("x", 1)
    low = Branch({"routing_rules": Items((Branch({"name": Leaf("a", mark)}, mark),), mark)}, mark)
    high = Branch({"routing_rules": Items((), mark)}, mark)

    assert plain(merge(low, high)) == {"routing_rules": []}
