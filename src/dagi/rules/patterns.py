"""Regular expressions of rules: all of a rule set are looked for in a prompt at once, in linear time."""

from collections.abc import Iterable, Sequence
from typing import Protocol

import re2


class Pattern(Protocol):
    """A compiled expression."""

    def search(self, text: str) -> object:
        """Where it is found; None where it is not."""
        ...


def compile_patterns(patterns: Iterable[str]) -> tuple[list[Pattern], list[tuple[str, str]]]:
    """The expressions, in order, and those that are none with the reason."""
    compiled: list[Pattern] = []
    mistakes: list[tuple[str, str]] = []
    for pattern in sorted(patterns):
        try:
            # RE2 runs in linear time whatever the pattern and the prompt are.
            compiled.append(re2.compile(pattern, _options()))
        except re2.error as error:
            why = error.args[0] if error.args else ""
            mistakes.append((pattern, why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)))
    return compiled, mistakes


class Patterns:
    """Which of many expressions are found in a text; one pass over it, however many they are."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = sorted(set(patterns))
        self._sets = _sets(self._patterns)

    def found(self, text: str) -> list[str]:
        """The expressions that are found in the text."""
        return [pattern for one in self._sets for pattern in one.found(text)]


class _One:
    """Expressions that fit into one automaton.

    It ends with an expression that is found in every text: an automaton that runs out of memory finds nothing and says so by nothing else.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """Build the automaton; raises `re2.error` where the expressions are too many or too large for one."""
        self._patterns = tuple(patterns)
        self._set = re2.Set.SearchSet(_options())
        for pattern in patterns:
            self._set.Add(pattern)
        self._last = self._set.Add("")
        self._set.Compile()

    def found(self, text: str) -> list[str]:
        indexes: list[int] = self._set.Match(text) or []
        if self._last in indexes:
            return [self._patterns[index] for index in indexes if index != self._last]
        return _found_singly(self._patterns, text)


class _Single:
    """One expression, too large to share an automaton."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern

    def found(self, text: str) -> list[str]:
        return _found_singly((self._pattern,), text)


def _sets(patterns: Sequence[str]) -> list[_One | _Single]:
    if not patterns:
        return []
    try:
        return [_One(patterns)]
    except re2.error:
        if len(patterns) == 1:
            return [_Single(patterns[0])]
        half = len(patterns) // 2
        return [*_sets(patterns[:half]), *_sets(patterns[half:])]


def _found_singly(patterns: Sequence[str], text: str) -> list[str]:
    return [pattern for pattern in patterns if re2.compile(pattern, _options()).search(text) is not None]


def _options() -> "re2.Options":
    options = re2.Options()
    options.log_errors = False
    return options
