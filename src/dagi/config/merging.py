"""One layer over another.

Mappings merge key by key. The lists in `BY_NAME` merge entry by entry, matched by `name`. Everything else is replaced.

Merging is associative: it does not matter which layers are joined first. A mapping that replaced a value of another kind remembers
this (`whole`), because otherwise it would, in the other order, merge with a mapping that had been replaced meanwhile.
"""

from collections.abc import Iterable
from functools import reduce

from msgspec.structs import replace

from dagi.config.marks import Branch, Items, KeyPath, Leaf, Mark, Node

BY_NAME: frozenset[tuple[str]] = frozenset({("llm_providers",), ("chains",)})


def merged(layers: Iterable[Branch]) -> Branch:
    """All layers, from low to high; there is at least one."""
    return reduce(merge, layers)


def merge(low: Branch, high: Branch) -> Branch:
    """Two layers; what `high` says wins."""
    return _mappings(low, high, ())


def _over(low: Node, high: Node, path: KeyPath) -> Node:
    if isinstance(high, Leaf) or high.whole:
        return high
    match low, high:
        case Branch(), Branch():
            return _mappings(low, high, path)
        case Items(), Items() if path in BY_NAME:
            return _named(low, high, path)
        case _, Items() if path not in BY_NAME:
            return high
        case _:
            return replace(high, whole=True)


def _mappings(low: Branch, high: Branch, path: KeyPath) -> Branch:
    entries = dict(low.entries)
    for key, node in high.entries.items():
        below = entries.get(key)
        entries[key] = node if below is None else _over(below, node, (*path, key))
    return Branch(entries, _later(low.mark, high.mark), low.whole)


def _named(low: Items, high: Items, path: KeyPath) -> Items:
    """Entries keep the place where their name came first, so a layer changes a provider without reordering the others."""
    nodes = list(low.nodes)
    places = {name: index for index, node in enumerate(nodes) if (name := name_of(node)) is not None}
    for node in high.nodes:
        name = name_of(node)
        place = None if name is None else places.get(name)
        if place is None:
            nodes.append(node)
        else:
            nodes[place] = _over(nodes[place], node, (*path, place))
    return Items(tuple(nodes), _later(low.mark, high.mark), low.whole)


def name_of(node: Node) -> str | None:
    """The entry's `name`, where it has one."""
    if not isinstance(node, Branch):
        return None
    name = node.entries.get("name")
    return name.value if isinstance(name, Leaf) and isinstance(name.value, str) else None


def _later(low: Mark, high: Mark) -> Mark:
    """A mapping that several layers wrote: the last file is the best place to point at; a variable has no line to go to."""
    return low if high.line is None else high
