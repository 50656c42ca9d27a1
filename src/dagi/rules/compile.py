"""From the configuration's `routing_rules` to a rule set, or to everything that is wrong with them."""

from collections.abc import Mapping, Sequence
from typing import cast

from dagi.rules.conditions import Compiler
from dagi.rules.known import Known, nearest
from dagi.rules.parameters import Parameters, read_parameters
from dagi.rules.reach import unreachable
from dagi.rules.rule import Complaint, Condition, Rule, Wanted
from dagi.rules.ruleset import RuleSet
from dagi.rules.shares import Mistakes, Share, read_shares

KEYS = (
    "name",
    "priority",
    "conditions",
    "use_provider",
    "use_metadata",
    "fallback_provider",
    "timeout_ms",
    "deadline_ms",
    "requires",
    "context",
    "parameters",
    "cache",
)
_CACHE_MOST_S = 30 * 86_400


def compile_rules(raw: Sequence[Mapping[str, object]], known: Known) -> tuple[RuleSet, list[Complaint]]:
    """Compile the rules in their order of priority; equal priorities keep the file's order.

    The rule set may be used only when no complaint is fatal.
    """
    complaints: list[Complaint] = []
    rules: list[tuple[int, Rule]] = []
    names: dict[str, int] = {}
    for index, mapping in enumerate(raw):
        rule, wrong = _Reader(index, mapping, known).read()
        complaints.extend(wrong)
        if rule.name in names:
            complaints.append(Complaint((index, "name"), f"{rule.name!r} is the name of rule {names[rule.name]} too; rename one of them"))
        names.setdefault(rule.name, index)
        rules.append((index, rule))
    rules.sort(key=lambda entry: entry[1].priority)
    complaints.extend(unreachable(rules))
    return RuleSet(rule for _, rule in rules), complaints


class _Reader:
    def __init__(self, index: int, raw: Mapping[str, object], known: Known) -> None:
        self._index = index
        self._raw = raw
        self._known = known
        self._complaints: list[Complaint] = []

    def read(self) -> tuple[Rule, list[Complaint]]:
        for key in self._raw:
            if key not in KEYS:
                self._wrong((key,), f"is not a key of a rule{nearest(key, KEYS)}")
        providers, by_wish = self._providers()
        rule = Rule(
            name=self._name(),
            priority=self._priority(),
            conditions=self._conditions(),
            providers=providers,
            by_wish=by_wish,
            timeout_s=self._duration("timeout_ms"),
            deadline_s=self._duration("deadline_ms"),
            requires=self._requires(),
            wanted=self._wanted(),
            shares=self._shares(),
            parameters=self._parameters(),
            reuse_s=self._cache(),
        )
        return rule, self._complaints

    def _name(self) -> str:
        name = self._raw.get("name")
        if isinstance(name, str) and name:
            return name
        self._wrong(("name",), "every rule needs a name")
        return f"rule_{self._index}"

    def _priority(self) -> int:
        priority = self._raw.get("priority", 100)
        if isinstance(priority, int) and not isinstance(priority, bool):
            return priority
        self._wrong(("priority",), "must be a whole number; lower numbers come first")
        return 100

    def _conditions(self) -> tuple[Condition, ...]:
        compiler = Compiler((self._index,), self._known)
        found = compiler.compile(self._raw.get("conditions", {}), ("conditions",))
        self._complaints.extend(compiler.complaints)
        return found

    def _providers(self) -> tuple[tuple[str, ...], bool]:
        by_wish = self._by_wish()
        if not by_wish and "use_provider" not in self._raw:
            self._wrong((), "says no target: give it use_provider (a provider's name) or use_metadata: provider")
        if by_wish and "use_provider" in self._raw:
            self._wrong(("use_provider",), "cannot stand beside use_metadata; put the provider into fallback_provider")
        first = () if self._weighted else self._named("use_provider", several=False)
        rest = self._named("fallback_provider", several=True)
        chain = tuple(dict.fromkeys((*first, *rest)))
        if len(chain) < len(first) + len(rest):
            self._wrong(("fallback_provider",), "names a provider twice; asking it again changes nothing", fatal=False)
        return chain, by_wish

    @property
    def _weighted(self) -> bool:
        value = self._raw.get("use_provider")
        return isinstance(value, Sequence) and not isinstance(value, str)

    def _shares(self) -> tuple[Share, ...]:
        if not self._weighted:
            return ()
        shares, mistakes = read_shares(cast("Sequence[object]", self._raw["use_provider"]), self._known)
        self._take("use_provider", mistakes)
        return shares

    def _parameters(self) -> Parameters | None:
        if self._raw.get("parameters") is None:
            return None
        parameters, mistakes = read_parameters(self._raw["parameters"])
        self._take("parameters", mistakes)
        return parameters

    def _cache(self) -> float | None:
        value = self._raw.get("cache")
        if value is None or value is False:
            return None
        ttl = value.get("ttl_s") if isinstance(value, Mapping) else None
        if not isinstance(ttl, int | float) or isinstance(ttl, bool) or not 0 < ttl <= _CACHE_MOST_S:
            self._wrong(("cache",), f"must be {{ttl_s: N}}: the seconds an answer is given again, above 0 and up to {_CACHE_MOST_S}")
            return None
        for key in cast("Mapping[str, object]", value):
            if key != "ttl_s":
                self._wrong(("cache", str(key)), f"is not a key of cache{nearest(str(key), ('ttl_s',))}")
        return float(ttl)

    def _by_wish(self) -> bool:
        wish = self._raw.get("use_metadata")
        if wish is None:
            return False
        if wish != "provider":
            self._wrong(("use_metadata",), 'can only be "provider"')
        elif not self._known.selectable:
            self._wrong(("use_metadata",), "no provider is marked `selectable: true`, so no caller could choose one")
        return True

    def _named(self, key: str, *, several: bool) -> tuple[str, ...]:
        value = self._raw.get(key)
        if value is None:
            return ()
        names = list(value) if several and isinstance(value, Sequence) and not isinstance(value, str) else [value]
        for name in names:
            if not isinstance(name, str):
                self._wrong((key,), "must be a provider's name" + (" or a list of them" if several else ""))
                return ()
            if name not in self._known.providers:
                self._wrong((key,), f"{name!r} is not a provider{nearest(name, sorted(self._known.providers))}")
        return tuple(str(name) for name in names)

    def _duration(self, key: str) -> float | None:
        value = self._raw.get(key)
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= 86_400_000:
            return value / 1000
        self._wrong((key,), "must be a number of milliseconds from 1 to 86400000")
        return None

    def _requires(self) -> str | None:
        value = self._raw.get("requires")
        if value is None:
            return None
        if isinstance(value, str) and self._known.is_entitlement(value):
            return value
        self._wrong(("requires",), f"{value!r} is not an entitlement, so nobody could ever pass")
        return None

    def _wanted(self) -> Wanted | None:
        value = self._raw.get("context")
        if value is None:
            return None
        fields = Wanted.__struct_fields__
        if isinstance(value, bool):
            return Wanted(**dict.fromkeys(fields, value))
        if not isinstance(value, Mapping):
            self._wrong(("context",), "must be true, false, or a mapping such as {facts: true, roles: true, history: true}")
            return None
        chosen: dict[str, bool] = {}
        for key, flag in value.items():
            if key not in fields:
                self._wrong(("context", str(key)), f"cannot be added to a message{nearest(str(key), fields)}")
            elif not isinstance(flag, bool):
                self._wrong(("context", key), "must be true or false")
            else:
                chosen[key] = flag
        return Wanted(**chosen)

    def _take(self, key: str, mistakes: Mistakes) -> None:
        for path, text in mistakes:
            self._wrong((key, *path), text)

    def _wrong(self, path: tuple[str | int, ...], text: str, *, fatal: bool = True) -> None:
        self._complaints.append(Complaint((self._index, *path), text, fatal))
