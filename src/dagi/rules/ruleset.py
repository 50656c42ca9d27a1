"""All rules of a configuration: choosing one, and explaining the choice."""

from collections.abc import Iterable, Iterator

import msgspec

from dagi.errors import NoRoute
from dagi.message import Grant, Message
from dagi.rules.index import Index
from dagi.rules.rule import Rule


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one rule: `chosen`, `not_reached` (an earlier one was chosen), or `failed` at `condition`."""

    rule: str
    priority: int
    outcome: str
    condition: str = ""


class RuleSet:
    """Rules in order of priority, indexed, so that a thousand cost little more than ten."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._index = Index(self.rules)

    def choose(self, message: Message, grant: Grant) -> Rule:
        """The first rule all of whose conditions hold.

        Raises:
            NoRoute: none does.
        """
        rule = self._index.find(message, grant)
        if rule is not None:
            return rule
        raise NoRoute(
            f"No routing rule matches a message of mode {message.mode}. An operator can add one; `/route/explain` shows why none does.",
            mode=message.mode,
        )

    def explain(self, message: Message, grant: Grant) -> Iterator[Verdict]:
        """Every rule in order, with what decided about it."""
        chosen = False
        for rule in self.rules:
            if chosen:
                yield Verdict(rule=rule.name, priority=rule.priority, outcome="not_reached")
                continue
            failed = next((condition for condition in rule.conditions if not condition.test(message, grant)), None)
            if failed is not None:
                yield Verdict(rule=rule.name, priority=rule.priority, outcome="failed", condition=failed.text)
                continue
            chosen = True
            everything = ", ".join(condition.text for condition in rule.conditions) or "no conditions: matches every message"
            yield Verdict(rule=rule.name, priority=rule.priority, outcome="chosen", condition=everything)
