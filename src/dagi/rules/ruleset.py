"""All rules of a configuration: choosing one, and explaining the choice."""

import heapq
from collections.abc import Callable, Iterable, Iterator

import msgspec

from dagi.errors import NoRoute
from dagi.message import Grant, Message
from dagi.rules.conditions import FIELDS, metadata_text
from dagi.rules.rule import Rule

# Which equality condition of a rule the index uses: the one that leaves the fewest messages first.
_SELECTIVE = ("dao_id", "agent", "task_type", "source", "mode")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one rule: `chosen`, `not_reached` (an earlier one was chosen), or `failed` at `condition`."""

    rule: str
    priority: int
    outcome: str
    condition: str = ""


class RuleSet:
    """Rules in order of priority, indexed by one equality condition each, so that a thousand cost little more than ten."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)
        self._always: list[int] = []
        self._buckets: dict[str, dict[str, list[int]]] = {}
        for position, rule in enumerate(self.rules):
            self._file(position, rule)
        self._readers: list[tuple[Callable[[Message], str | None], dict[str, list[int]]]] = [
            (_reader(key), bucket) for key, bucket in self._buckets.items()
        ]

    def _file(self, position: int, rule: Rule) -> None:
        by_key = {condition.key: condition.values for condition in rule.conditions if condition.values}
        metadata = next((key for key in by_key if key.startswith("metadata.")), None)
        key = next((key for key in ("dao_id", metadata, *_SELECTIVE) if key in by_key), None)
        if key is None:
            self._always.append(position)
            return
        bucket = self._buckets.setdefault(key, {})
        for value in by_key[key] or ():
            bucket.setdefault(value, []).append(position)

    def choose(self, message: Message, grant: Grant) -> Rule:
        """The first rule all of whose conditions hold.

        Raises:
            NoRoute: none does.
        """
        for position in self._candidates(message):
            rule = self.rules[position]
            if rule.matches(message, grant):
                return rule
        raise NoRoute(
            f"No routing rule matches a message of mode {message.mode}. An operator can add one; `/route/explain` shows why none does.",
            mode=message.mode,
        )

    def _candidates(self, message: Message) -> Iterable[int]:
        lists = [self._always] if self._always else []
        for read, bucket in self._readers:
            value = read(message)
            positions = bucket.get(value) if value is not None else None
            if positions:
                lists.append(positions)
        if len(lists) == 1:
            return lists[0]
        return heapq.merge(*lists)

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


def _reader(key: str) -> Callable[[Message], str | None]:
    if key.startswith("metadata."):
        name = key.removeprefix("metadata.")
        return lambda message: metadata_text(message, name)
    return FIELDS[key]
