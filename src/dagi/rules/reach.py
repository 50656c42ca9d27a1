"""Which rules can never match, so that an operator hears of them at the start and not from a member."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import cast

from dagi.rules.conditions import FIELDS
from dagi.rules.rule import Complaint, Meaning, Rule


def unreachable(rules: Sequence[tuple[int, Rule]]) -> Iterator[Complaint]:
    """Complaints about rules that contradict themselves or stand behind a rule that takes everything they would match.

    Args:
        rules: in order of priority, each with its index in the file.
    """
    earlier = _Earlier()
    for index, rule in rules:
        meanings = [condition.meaning for condition in rule.conditions]
        contradiction = _contradiction(meanings)
        if contradiction is not None:
            yield Complaint((index, "conditions"), f"can never match: {contradiction}")
            continue
        first = earlier.covering(meanings)
        if first is not None:
            yield Complaint((index, "conditions"), f"can never match: the rule {first!r} comes first and takes all it would match")
        earlier.add(rule.name, meanings)


class _Earlier:
    """The rules that can match so far, each filed under one of its conditions.

    Whoever is covered by a rule has that condition too, with no value the rule does not want: one lookup for each condition finds all
    that could cover it, so that a thousand rules are not a million comparisons.
    """

    def __init__(self) -> None:
        self._rules: list[tuple[str, Sequence[Meaning]]] = []
        self._filed: defaultdict[tuple[str, Hashable], list[int]] = defaultdict(list)
        self._unfiled: list[int] = []

    def add(self, name: str, meanings: Sequence[Meaning]) -> None:
        position = len(self._rules)
        self._rules.append((name, meanings))
        choices = [[(key, value) for value in wanted] for key, wanted in meanings if isinstance(wanted, frozenset) and wanted]
        if not choices:
            self._unfiled.append(position)
            return
        # The condition that fewest others share: `dao_id` where it differs, and not the `mode: chat` of them all.
        for place in min(choices, key=lambda places: max(len(self._filed.get(place, ())) for place in places)):
            self._filed[place].append(position)

    def covering(self, meanings: Sequence[Meaning]) -> str | None:
        """The name of the first rule that takes all that a rule of these conditions would match."""
        candidates = set(self._unfiled)
        for key, wanted in meanings:
            if isinstance(wanted, frozenset) and wanted:
                candidates.update(self._filed.get((key, next(iter(wanted))), ()))
        for position in sorted(candidates):
            name, loose = self._rules[position]
            if all(any(_implies(strict, part) for strict in meanings) for part in loose):
                return name
        return None


def _implies(strict: Meaning, loose: Meaning) -> bool:
    """Whether whatever satisfies one condition satisfies the other."""
    (key, wanted), (other, allowed) = strict, loose
    if key != other:
        return False
    if isinstance(wanted, frozenset) and isinstance(allowed, frozenset):
        return wanted <= allowed
    if isinstance(wanted, int) and isinstance(allowed, int):
        return wanted >= allowed if key == "prompt_tokens_over" else wanted <= allowed
    return False


def _follows(known: Sequence[Meaning], wanted: Meaning) -> bool:
    """Whether a condition holds wherever the known ones hold."""
    if any(_implies(strict, wanted) for strict in known):
        return True
    key, branches = wanted
    return key == "any" and any(
        all(_follows(known, part) for part in cast("Iterable[Meaning]", branch)) for branch in cast("Iterable[Hashable]", branches)
    )


def _contradiction(meanings: Sequence[Meaning]) -> str | None:
    allowed: dict[str, frozenset[Hashable]] = {}
    over, under = -1, None
    for key, wanted in meanings:
        if isinstance(wanted, int):
            if key == "prompt_tokens_over":
                over = max(over, wanted)
            else:
                under = wanted if under is None else min(under, wanted)
        elif key in FIELDS or key == "language" or key.startswith("metadata."):
            # A message has exactly one of these; a person may have several roles.
            left = allowed.get(key, wanted) & wanted
            if not left:
                return f"no {key} satisfies all its conditions"
            allowed[key] = left
        elif key == "not" and wanted and all(_follows(meanings, cast("Meaning", part)) for part in wanted):
            return "what its other conditions ask for is what `not` excludes"
    if under is not None and under <= over + 1:
        return f"no prompt has over {over} and under {under} tokens" if over >= 0 else "no prompt has under 0 tokens"
    return None
