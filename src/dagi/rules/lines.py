"""Rules as lines: conjunctions of single conditions, each wanted or not, any of which makes its rule match."""

from collections.abc import Iterable, Sequence
from itertools import product

from dagi.rules.rule import Condition

# One condition, and whether it has to hold or must not.
Literal = tuple[Condition, bool]
Line = tuple[Literal, ...]

# A rule of more lines keeps its nested conditions whole: they are asked one by one when the rule is the next candidate.
_MOST = 32


class _TooMany(Exception):
    """More lines than a rule may have."""


def lines_of(conditions: Iterable[Condition]) -> list[Line]:
    """The lines of a rule; none where it can never match."""
    lines: list[Line] = [()]
    for condition in conditions:
        try:
            choices = _choices(condition, wanted=True)
        except _TooMany:
            choices = [((condition, True),)]
        if len(lines) * len(choices) > _MOST:
            choices = [((condition, True),)]
        lines = [line + choice for line in lines for choice in choices]
    return lines


def _choices(condition: Condition, *, wanted: bool) -> list[Line]:
    if condition.key not in {"any", "not"}:
        if condition.always is not None:
            return [()] if condition.always == wanted else []
        return [((condition, wanted),)]
    # `not` holds where its one branch fails; `any` where one branch does not.
    if (condition.key == "any") == wanted:
        return _bounded([line for branch in condition.branches for line in _all(branch)])
    return _joined([_none(branch) for branch in condition.branches])


def _all(branch: Sequence[Condition]) -> list[Line]:
    """Every condition of the branch holds."""
    return _joined([_choices(part, wanted=True) for part in branch])


def _none(branch: Sequence[Condition]) -> list[Line]:
    """One condition of the branch fails."""
    return _bounded([line for part in branch for line in _choices(part, wanted=False)])


def _joined(parts: Sequence[list[Line]]) -> list[Line]:
    lines: list[Line] = [()]
    for choices in parts:
        lines = _bounded([line + choice for line, choice in product(lines, choices)])
    return lines


def _bounded(lines: list[Line]) -> list[Line]:
    if len(lines) > _MOST:
        raise _TooMany
    return lines
