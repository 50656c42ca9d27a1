"""The index of a rule set: what a message says is looked up once in each respect, however many rules ask for it."""

from collections.abc import Callable, Collection, Hashable, Iterable, Sequence
from typing import Final, TypeVar, cast

from dagi.message import Grant, Message
from dagi.rules.conditions import FIELDS
from dagi.rules.dimensions import Dimension, Many, MetadataReader, One, Size, entitlements, granting, roles, valued
from dagi.rules.language import language_of
from dagi.rules.lines import Line, Literal, lines_of
from dagi.rules.patterns import Patterns
from dagi.rules.rule import Condition, Rule, Test

_METADATA: Final = "metadata."

Built = TypeVar("Built", One, Many, One | Many | Size)


class Index:
    """Finds the first rule that matches.

    Every rule is one or more lines, a line a bit. What a message says in one respect (its mode, its DAO, the sender's roles, the
    expressions found in its prompt, …) is read once and leaves, by one lookup, the lines that pass; the lowest bit left is the choice.
    What reads the prompt comes last and only where the next candidate depends on it. Conditions that no lookup answers, such as a list
    in the metadata or very wide `any`s, are asked of the candidates one by one.
    """

    def __init__(self, rules: Sequence[Rule]) -> None:
        lines = [(rule, line) for rule in rules for line in lines_of(rule.conditions)]
        self._rules = [rule for rule, _ in lines]
        self._tests: dict[int, list[tuple[Test, bool]]] = {}
        builder = _Builder(line for _, line in lines)
        for number, (_, line) in enumerate(lines):
            for literal in line:
                if not builder.add(1 << number, literal):
                    self._tests.setdefault(1 << number, []).append((literal[0].test, literal[1]))
        self._everything = (1 << len(lines)) - 1
        self._fields = [(one.read, one.table, one.otherwise) for one in builder.fields(self._everything)]
        self._cheap = builder.cheap(self._everything)
        self._dear = builder.dear(self._everything)

    def find(self, message: Message, grant: Grant) -> Rule | None:
        """The first rule all of whose conditions hold; None where there is none."""
        left = self._everything
        for read, table, otherwise in self._fields:
            left &= table.get(read(message), otherwise)
        for dimension in self._cheap:
            left &= dimension.passing(message, grant)
        waiting = self._dear
        while left:
            lowest = left & -left
            for dimension in waiting:
                if dimension.concerned & lowest:
                    left &= dimension.passing(message, grant)
                    waiting = tuple(other for other in waiting if other is not dimension)
                    break
            else:
                if all(test(message, grant) == wanted for test, wanted in self._tests.get(lowest, ())):
                    return self._rules[lowest.bit_length() - 1]
                left ^= lowest
        return None


class _Builder:
    """Collects what the lines say in each respect."""

    def __init__(self, lines: Iterable[Line]) -> None:
        conditions = [condition for line in lines for condition, _ in line]
        names = frozenset(_name(condition) for condition in conditions if _features(condition) is not None)
        found = Patterns(
            str(value)
            for condition in conditions
            if condition.key == "prompt_matches"
            for value in cast("frozenset[str]", condition.wanted)
        )
        self._ones = {key: One(read) for key, read in FIELDS.items()}
        self._language = One(lambda message: language_of(message.prompt))
        self._size = Size()
        self._many = {
            "metadata": Many(MetadataReader(names - {""})),
            "role": Many(roles),
            "entitlement": Many(entitlements),
        }
        self._patterns = Many(_searching(found))

    def add(self, line: int, literal: Literal) -> bool:
        """Take one condition of a line; False where no dimension holds it."""
        condition, wanted = literal
        key, values = condition.key, condition.wanted
        if isinstance(values, int):
            self._size.add(line, key, values, wanted=wanted)
        elif key in self._ones:
            self._ones[key].add(line, values, wanted=wanted)
        elif key == "language":
            self._language.add(line, values, wanted=wanted)
        elif key == "prompt_matches":
            self._patterns.add(line, values, wanted=wanted)
        else:
            features = _features(condition)
            if features is None:
                return False
            self._many[key if key in self._many else "metadata"].add(line, features, wanted=wanted)
        return True

    def fields(self, everything: int) -> list[One]:
        """The message's own fields, as far as lines ask for them."""
        return _closed(self._ones.values(), everything)

    def cheap(self, everything: int) -> tuple[Dimension, ...]:
        """What takes a lookup."""
        return tuple(_closed(self._many.values(), everything))

    def dear(self, everything: int) -> tuple[Dimension, ...]:
        """What reads the prompt."""
        dear: tuple[One | Many | Size, ...] = (self._size, self._patterns, self._language)
        return tuple(_closed(dear, everything))


def _closed(dimensions: Iterable[Built], everything: int) -> list[Built]:
    asked = [dimension for dimension in dimensions if dimension.concerned]
    for dimension in asked:
        dimension.close(everything)
    return asked


def _searching(patterns: Patterns) -> Callable[[Message, Grant, Collection[Hashable]], Collection[Hashable]]:
    return lambda message, _grant, _named: patterns.found(message.prompt)


def _name(condition: Condition) -> str:
    """The key of the metadata that the condition asks for."""
    if condition.key == "metadata_has":
        (name,) = cast("frozenset[str]", condition.wanted)
        return name
    return condition.key.removeprefix(_METADATA) if condition.key.startswith(_METADATA) else ""


def _features(condition: Condition) -> frozenset[Hashable] | None:
    """The values any of which satisfies a condition on roles, entitlements or metadata; None where they cannot be looked up."""
    key, wanted = condition.key, cast("frozenset[Hashable]", condition.wanted)
    if key in {"role", "metadata_has"}:
        return wanted
    if key == "entitlement":
        return frozenset(covering for value in wanted for covering in granting(value))
    if not key.startswith(_METADATA):
        return None
    values = [value for _, value in cast("frozenset[tuple[bool, Hashable]]", wanted)]
    # Nothing and lists are told by comparison alone.
    if not all(isinstance(value, str | int | float) for value in values):
        return None
    return frozenset(valued(_name(condition), cast("str | float", value)) for value in values)
