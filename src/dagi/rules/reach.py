"""Which rules can never match, so that an operator hears of them at the start and not from a member."""

from collections.abc import Iterator, Sequence

from dagi.rules.conditions import FIELDS
from dagi.rules.rule import Complaint, Condition, Rule


def unreachable(rules: Sequence[tuple[int, Rule]]) -> Iterator[Complaint]:
    """Complaints about rules that contradict themselves or stand behind a rule that takes everything they would match.

    Args:
        rules: in order of priority, each with its index in the file.
    """
    for position, (index, rule) in enumerate(rules):
        contradiction = _contradiction(rule)
        if contradiction is not None:
            yield Complaint((index, "conditions"), f"can never match: {contradiction}")
            continue
        for _, earlier in rules[:position]:
            if _contradiction(earlier) is None and _covers(earlier, rule):
                text = f"can never match: the rule {earlier.name!r} comes first and takes all it would match"
                yield Complaint((index, "conditions"), text)
                break


def _covers(earlier: Rule, later: Rule) -> bool:
    return all(any(_implies(strict, loose) for strict in later.conditions) for loose in earlier.conditions)


def _implies(strict: Condition, loose: Condition) -> bool:
    if strict.key != loose.key:
        return False
    if strict.values is not None and loose.values is not None:
        return strict.values <= loose.values
    if strict.key == "prompt_tokens_over":
        return _tokens(strict) >= _tokens(loose)
    if strict.key == "prompt_tokens_under":
        return _tokens(strict) <= _tokens(loose)
    return strict.text == loose.text


def _contradiction(rule: Rule) -> str | None:
    allowed: dict[str, frozenset[str]] = {}
    over, under = -1, None
    for condition in rule.conditions:
        if condition.key == "prompt_tokens_over":
            over = max(over, _tokens(condition))
        elif condition.key == "prompt_tokens_under":
            under = _tokens(condition) if under is None else min(under, _tokens(condition))
        elif condition.values is not None and (condition.key in FIELDS or condition.key.startswith("metadata.")):
            left = allowed.get(condition.key, condition.values) & condition.values
            if not left:
                return f"no {condition.key} satisfies all its conditions"
            allowed[condition.key] = left
    if under is not None and under <= over + 1:
        return f"no prompt has over {over} and under {under} tokens" if over >= 0 else "no prompt has under 0 tokens"
    return None


def _tokens(condition: Condition) -> int:
    return int(condition.text.rpartition(" ")[2])
