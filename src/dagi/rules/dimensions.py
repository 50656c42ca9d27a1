"""Dimensions of the index: what a message says in one respect, and which lines that lets pass.

Lines are bits of an integer, the first line the lowest one; a dimension answers with all that pass at once.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Hashable, Iterable, Mapping
from functools import reduce
from itertools import accumulate
from operator import or_
from typing import Protocol

from dagi.message import Grant, Message
from dagi.rules.metadata import TYPED

Reader = Callable[[Message, Grant, Collection[Hashable]], Collection[Hashable]]
Masks = dict[Hashable, int]


class Dimension(Protocol):
    """One respect.

    Attributes:
        concerned: the lines that say anything of it; all others pass always.
    """

    @property
    def concerned(self) -> int:
        """See the class."""
        ...

    def passing(self, message: Message, grant: Grant) -> int:
        """The lines that pass, as bits."""
        ...


class One:
    """A message has exactly one value, or none: a mode, an agent, a language.

    Attributes:
        read: the message's value.
        table, otherwise: the lines that pass for a value that is named by some line, and for any other.
    """

    def __init__(self, read: Callable[[Message], str | None]) -> None:
        self.read = read
        self.concerned = 0
        self.otherwise = -1
        self.table: dict[str | None, int] = {}
        self._allowed: dict[int, frozenset[Hashable]] = {}
        self._denied: dict[int, frozenset[Hashable]] = {}

    def add(self, line: int, values: frozenset[Hashable], *, wanted: bool) -> None:
        """Let the line pass for these values alone, or for none of them."""
        self.concerned |= line
        if wanted:
            self._allowed[line] = self._allowed.get(line, values) & values
        else:
            self._denied[line] = self._denied.get(line, frozenset()) | values

    def close(self, everything: int) -> None:
        """No line comes any more; `everything` is all of them."""
        self.otherwise = everything & ~reduce(or_, self._allowed, 0)
        named: Masks = {}
        refused: Masks = {}
        for line, values in self._allowed.items():
            for value in values - self._denied.get(line, frozenset()):
                named[value] = named.get(value, 0) | line
        for line, values in self._denied.items():
            for value in values:
                refused[value] = refused.get(value, 0) | line
        self.table = {
            value: (self.otherwise & ~refused.get(value, 0)) | named.get(value, 0) for value in {*named, *refused} if isinstance(value, str)
        }

    def passing(self, message: Message, grant: Grant) -> int:
        """See `Dimension`."""
        del grant
        return self.table.get(self.read(message), self.otherwise)


class Many:
    """A message has any number of values: roles, entitlements, metadata, expressions found in its prompt.

    A line may ask several times for one of some values; each time is a layer.

    Attributes:
        named: every value that some line names.
    """

    def __init__(self, read: Reader) -> None:
        self.concerned = 0
        self._read = read
        self._layers: list[Masks] = []
        self._asks: dict[int, int] = {}
        self._free: list[int] = []
        self._refused: Masks = {}
        self._everything = 0
        self.named: frozenset[Hashable] = frozenset()

    def add(self, line: int, values: Iterable[Hashable], *, wanted: bool) -> None:
        """Let the line pass only with one of these values, or with none of them."""
        self.concerned |= line
        masks = self._refused
        if wanted:
            layer = self._asks[line] = self._asks.get(line, -1) + 1
            if layer == len(self._layers):
                self._layers.append({})
                self._free.append(-1)
            masks = self._layers[layer]
            self._free[layer] &= ~line
        for value in values:
            masks[value] = masks.get(value, 0) | line

    def close(self, everything: int) -> None:
        """No line comes any more; `everything` is all of them."""
        self.named = frozenset(self._refused).union(*self._layers)
        self._free = [everything & free for free in self._free]
        self._everything = everything

    def passing(self, message: Message, grant: Grant) -> int:
        """See `Dimension`."""
        present = self._read(message, grant, self.named)
        passing = self._everything
        for free, masks in zip(self._free, self._layers, strict=True):
            for value in present:
                free |= masks.get(value, 0)  # noqa: PLW2901 - the layer's answer begins with whom it does not concern
            passing &= free
        for value in present:
            passing &= ~self._refused.get(value, 0)
        return passing


class Size:
    """Numbers of tokens above one threshold and below another."""

    def __init__(self) -> None:
        self.concerned = 0
        self._over: dict[int, int] = {}
        self._under: dict[int, int] = {}
        self._floors: list[int] = []
        self._above: list[int] = []
        self._ceilings: list[int] = []
        self._below: list[int] = []

    def add(self, line: int, key: str, limit: int, *, wanted: bool) -> None:
        """Let the line pass over the limit alone, or under it."""
        self.concerned |= line
        if (key == "prompt_tokens_over") == wanted:
            # Not under 10 is over 9.
            floor = limit if wanted else limit - 1
            self._over[line] = max(floor, self._over.get(line, floor))
        else:
            ceiling = limit if wanted else limit + 1
            self._under[line] = min(ceiling, self._under.get(line, ceiling))

    def close(self, everything: int) -> None:
        """No line comes any more; `everything` is all of them."""
        self._floors, self._above = _steps(self._over, everything)
        # Under a ceiling is over a floor when everything is negative.
        self._ceilings, self._below = _steps({line: -ceiling for line, ceiling in self._under.items()}, everything)

    def passing(self, message: Message, grant: Grant) -> int:
        """See `Dimension`."""
        del grant
        tokens = message.tokens()
        return self._above[bisect_left(self._floors, tokens)] & self._below[bisect_left(self._ceilings, -tokens)]


def _steps(floors: Mapping[int, int], everything: int) -> tuple[list[int], list[int]]:
    """The floors in order, and which lines pass when none is passed, the first, the first two, and so on."""
    at: dict[int, int] = {}
    for line, floor in floors.items():
        at[floor] = at.get(floor, 0) | line
    limits = sorted(at)
    return limits, list(accumulate((at[limit] for limit in limits), or_, initial=everything & ~reduce(or_, floors, 0)))


def roles(_message: Message, grant: Grant, named: Collection[Hashable]) -> Collection[Hashable]:
    """The sender's roles that lines name."""
    return frozenset(grant.roles).intersection(named)


def entitlements(_message: Message, grant: Grant, named: Collection[Hashable]) -> Collection[Hashable]:
    """The sender's entitlements that lines name."""
    return grant.entitlements.intersection(named)


def granting(entitlement: Hashable) -> tuple[Hashable, ...]:
    """The entitlements any of which covers this one; see `Grant.allows`."""
    family, colon, _ = str(entitlement).partition(":")
    return (entitlement, f"{family}:*") if colon else (entitlement,)


class MetadataReader:
    """The caller's metadata as values: that a key is there, and what it says."""

    def __init__(self, names: frozenset[str]) -> None:
        self._typed = tuple(sorted(TYPED & names))
        self._names = names - TYPED

    def __call__(self, message: Message, _grant: Grant, named: Collection[Hashable]) -> Collection[Hashable]:
        """The values of the message that lines name."""
        metadata = message.metadata
        values: list[Hashable] = []
        if metadata and self._names:
            # Whichever are fewer: what the caller sent, or what the rules ask for.
            for name in self._names.intersection(metadata) if len(metadata) < len(self._names) else self._names:
                _take(name, metadata.get(name), named, values)
        for name in self._typed:
            _take(name, getattr(message, name), named, values)
        return values


def _take(name: str, value: object, named: Collection[Hashable], values: list[Hashable]) -> None:
    if value is None:
        return
    if name in named:
        values.append(name)
    if isinstance(value, str | int | float) and (feature := valued(name, value)) in named:
        values.append(feature)


def valued(name: str, value: str | float) -> Hashable:
    """That a key of the metadata says this. JSON's true is not its 1, though Python's is."""
    return name, isinstance(value, bool), value
