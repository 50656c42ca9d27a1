"""A configuration value together with where it was written.

A layer (a file, the environment) is a tree of `Leaf`, `Branch` and `Items`. Every node carries its mark through merging, so that
whoever finds a mistake later can still say file and line.
"""

import json
import re
from collections.abc import Iterator, Mapping

import msgspec

Scalar = None | bool | int | float | str
KeyPath = tuple[str | int, ...]

_SIMPLE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


class Mark(msgspec.Struct, frozen=True):
    """Where a value was written.

    Attributes:
        file: the file as an operator would name it, `env DAGI__…`, `option …`, or `default`.
        line: counted from one; None where there are no lines.
        column: only where the exact place matters, in syntax errors.
        variables: names of the environment variables that were filled in with `${…}`.
    """

    file: str
    line: int | None = None
    column: int | None = None
    variables: tuple[str, ...] = ()

    def __str__(self) -> str:
        return ":".join(str(part) for part in (self.file, self.line, self.column) if part is not None)


DEFAULT = Mark("default")


class Leaf(msgspec.Struct, frozen=True):
    """One value. `broken` says that a mistake in it was reported already, so nobody should complain about its type too."""

    value: Scalar
    mark: Mark
    broken: bool = False


class Branch(msgspec.Struct, frozen=True):
    """A mapping. `whole` says that it replaced something that was no mapping, see `merging`."""

    entries: Mapping[str, "Node"]
    mark: Mark
    whole: bool = False


class Items(msgspec.Struct, frozen=True):
    """A list. `whole` as in `Branch`."""

    nodes: tuple["Node", ...]
    mark: Mark
    whole: bool = False


Node = Leaf | Branch | Items


def dotted(path: KeyPath) -> str:
    """The path as people write it: `llm_providers[0].config.base_url`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif _SIMPLE_KEY.match(part):
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part, ensure_ascii=not part.isprintable())}]"
    return text


def within(base: str, inside: str) -> str:
    """A path relative to another one, made whole: `routing_rules[0]` and `conditions.mode` give `routing_rules[0].conditions.mode`."""
    glue = "" if not base or not inside or inside.startswith("[") else "."
    return f"{base}{glue}{inside}"


def plain(node: Node) -> object:
    """The bare value: dicts, lists and scalars, newly made."""
    match node:
        case Leaf(value):
            return value
        case Branch(entries):
            return {key: plain(child) for key, child in entries.items()}
        case _:
            return [plain(child) for child in node.nodes]


def walk(node: Node, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Node]]:
    """Every node below and including this one, with its path. Depth is bounded by the reader."""
    yield path, node
    match node:
        case Branch(entries):
            for key, child in entries.items():
                yield from walk(child, (*path, key))
        case Items(nodes):
            for index, child in enumerate(nodes):
                yield from walk(child, (*path, index))
        case _:
            pass
