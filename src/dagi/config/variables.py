"""`DAGI__SECTION__KEY` variables and their other names, and options of the command line, as the highest layers.

A provider is meant by its name: `DAGI__LLM_PROVIDERS__LLM_LOCAL_QWEN3_8B__CONFIG__MODEL=qwen3:4b`.
"""

import re
from collections.abc import Mapping

from dagi.config.marks import Branch, Items, Leaf, Mark, Node, Scalar
from dagi.config.merging import merged, name_of
from dagi.config.mistakes import Mistake, choice
from dagi.config.scalars import resolve, unspeakable
from dagi.errors import ConfigError

PREFIX = "DAGI__"
# Other names of settings; the setting's own variable wins.
ALIASES = {"RATE_LIMIT_RPM": "DAGI__LIMITS__USER__RPM"}
_PROVIDERS = "llm_providers"
_RULES = "routing_rules"
_MAX_PARTS = 16
_OTHER = re.compile(r"[^a-z0-9]")


def overridden(tree: Branch, variables: Mapping[str, str], options: Mapping[str, Scalar]) -> tuple[Branch, list[Mistake]]:
    """The tree with the variables over it and the options over both, and what is wrong with them."""
    layers = [tree]
    mistakes: list[Mistake] = []
    named = {name: setting for name, setting in ALIASES.items() if name in variables}
    named |= {name: name for name in sorted(variables) if name.startswith(PREFIX)}
    for name, setting in named.items():
        try:
            layers.append(_layer(tree, name, setting, variables[name]))
        except ConfigError as error:
            mistakes.append(Mistake(Mark(f"env {name}"), (), error.message))
    for dotted, value in options.items():
        mark = Mark(f"option {dotted}")
        layers.append(_nested(tuple(dotted.split(".")), Leaf(value, mark), mark))
    return merged(layers), mistakes


def _layer(tree: Branch, name: str, setting: str, text: str) -> Branch:
    parts = tuple(setting.removeprefix(PREFIX).lower().split("__"))
    mark = Mark(f"env {name}")
    if "" in parts or len(parts) > _MAX_PARTS:
        raise ConfigError(f"name one setting, with two underscores between the levels, for example {PREFIX}SERVER__PORT")
    if parts[0] == _RULES:
        raise ConfigError("routing rules are replaced as a whole, in a file; a variable cannot set them")
    leaf = Leaf(_value(text), mark)
    if parts[0] == _PROVIDERS:
        return _provider(tree, parts[1:], leaf)
    return _nested(parts, leaf, mark)


def _value(text: str) -> Scalar:
    """One YAML scalar: `8` is a number, `"8"` is text."""
    if complaint := unspeakable(text):
        raise ConfigError(f"the value {complaint}")
    quote = text[:1]
    if len(text) > 1 and quote in ("'", '"') and text.endswith(quote):
        return text[1:-1]
    try:
        return resolve(text.strip())
    except ValueError as error:
        raise ConfigError(str(error)) from None


def _provider(tree: Branch, parts: tuple[str, ...], leaf: Leaf) -> Branch:
    entries = _providers(tree)
    if len(parts) < 2:
        raise ConfigError(f"name the provider and one of its keys, for example {PREFIX}LLM_PROVIDERS__MY_MODEL__CONFIG__MODEL")
    found = [node for name, node in entries.items() if _folded(name) == _folded(parts[0])]
    if len(found) != 1:
        problem = "is the name of no provider" if not found else "may be any of several providers"
        raise ConfigError(f'"{parts[0]}" {problem}; {choice(parts[0], entries)}')
    nested = _nested(parts[1:], leaf, leaf.mark)
    entry = Branch({"name": found[0].entries["name"], **nested.entries}, leaf.mark)
    return Branch({_PROVIDERS: Items((entry,), leaf.mark)}, leaf.mark)


def _providers(tree: Branch) -> dict[str, Branch]:
    node = tree.entries.get(_PROVIDERS)
    nodes = node.nodes if isinstance(node, Items) else ()
    return {name: entry for entry in nodes if isinstance(entry, Branch) and (name := name_of(entry)) is not None}


def _nested(path: tuple[str, ...], leaf: Leaf, mark: Mark) -> Branch:
    node: Node = leaf
    for part in reversed(path[1:]):
        node = Branch({part: node}, mark)
    return Branch({path[0]: node}, mark)


def _folded(name: str) -> str:
    """A name as a variable can spell it."""
    return _OTHER.sub("_", name.lower())
