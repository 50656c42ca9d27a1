"""The conditions a rule may have: from configuration to tests that need no parsing any more."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Final

from dagi.message import MODES, SOURCES, Grant, Message
from dagi.rules.known import Known, nearest
from dagi.rules.language import LANGUAGES, language_of
from dagi.rules.metadata import NEVER_METADATA, has, metadata_is
from dagi.rules.patterns import compile_patterns
from dagi.rules.rule import Complaint, Condition, Test

# Message fields a rule compares for equality. `metadata.<key>` joins them for the caller's own metadata.
FIELDS: Final[Mapping[str, Callable[[Message], str | None]]] = {
    "mode": attrgetter("mode"),
    "agent": attrgetter("agent"),
    "source": attrgetter("sender.source"),
    "dao_id": attrgetter("sender.dao_id"),
    "task_type": attrgetter("task_type"),
}
_CHOICES: Final[Mapping[str, tuple[str, ...]]] = {"mode": MODES, "source": SOURCES}
_GROUPS: Final = ("any", "all", "not")
KEYS: Final = (
    *FIELDS,
    "role",
    "entitlement",
    "metadata",
    "metadata_has",
    "prompt_matches",
    "prompt_tokens_over",
    "prompt_tokens_under",
    "language",
    "api_key_available",
    *_GROUPS,
)
_DEPTH = 16


class Compiler:
    """Compiles the conditions of one rule and collects what is wrong with them."""

    def __init__(self, path: tuple[str | int, ...], known: Known) -> None:
        self.path = path
        self.complaints: list[Complaint] = []
        self._known = known

    def compile(self, raw: object, path: tuple[str | int, ...], depth: int = 0) -> tuple[Condition, ...]:
        """The conditions of one mapping, all of which must hold."""
        if not isinstance(raw, Mapping):
            self._wrong(path, "must be a mapping of conditions, for example {mode: chat}")
            return ()
        if depth > _DEPTH:
            self._wrong(path, f"is nested deeper than {_DEPTH} levels")
            return ()
        found: list[Condition] = []
        for key, value in raw.items():
            found.extend(self._one(str(key), value, (*path, str(key)), depth))
        return tuple(found)

    def _one(self, key: str, value: object, path: tuple[str | int, ...], depth: int) -> tuple[Condition, ...]:
        if key in FIELDS:
            return self._field(key, value, path)
        if key == "all":
            return tuple(part for branch in self._branches(value, path, depth) for part in branch)
        if key == "any":
            return (_any(self._branches(value, path, depth)),)
        if key == "not":
            return self._not(value, path, depth)
        if key in {"prompt_tokens_over", "prompt_tokens_under"}:
            return self._prompt_tokens(key, value, path)
        compile_it = {
            "role": self._role,
            "entitlement": self._entitlement,
            "metadata": self._metadata,
            "metadata_has": self._metadata_has,
            "prompt_matches": self._prompt_matches,
            "language": self._language,
            "api_key_available": self._api_key_available,
        }.get(key)
        if compile_it is None:
            self._wrong(path, f"is not a condition{nearest(key, KEYS)}")
            return ()
        return compile_it(value, path)

    def _branches(self, value: object, path: tuple[str | int, ...], depth: int) -> list[tuple[Condition, ...]]:
        if not isinstance(value, Sequence) or isinstance(value, str) or not value:
            self._wrong(path, "must be a list of mappings of conditions")
            return []
        return [self.compile(branch, (*path, index), depth + 1) for index, branch in enumerate(value)]

    def _not(self, value: object, path: tuple[str | int, ...], depth: int) -> tuple[Condition, ...]:
        known = len(self.complaints)
        parts = self.compile(value, path, depth + 1)
        if not parts and len(self.complaints) == known:
            self._wrong(path, "is empty, so that the rule can never match; name conditions that must not all hold")
        return (_not(parts),)

    def _field(self, key: str, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        values = self._names(value, path)
        if values is None:
            return ()
        choices = _CHOICES.get(key)
        if choices is not None:
            for unknown in sorted(values - set(choices)):
                self._wrong(path, f"{unknown!r} is not a {key}{nearest(unknown, choices)}")
        read = FIELDS[key]
        return (
            Condition(
                key=key,
                text=_shown(key, values),
                test=lambda message, _grant: read(message) in values,
                wanted=values,
            ),
        )

    def _role(self, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        values = self._names(value, path)
        if values is None:
            return ()
        return (
            Condition(
                key="role",
                text=_shown("role", values),
                test=lambda _message, grant: not values.isdisjoint(grant.roles),
                wanted=values,
            ),
        )

    def _entitlement(self, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        values = self._names(value, path)
        if values is None:
            return ()
        for unknown in sorted(name for name in values if not self._known.is_entitlement(name)):
            self._wrong(path, f"{unknown!r} is not an entitlement")
        return (
            Condition(
                key="entitlement",
                text=_shown("entitlement", values),
                test=lambda _message, grant: any(grant.allows(name) for name in values),
                wanted=values,
            ),
        )

    def _metadata(self, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        if not isinstance(value, Mapping) or not value:
            self._wrong(path, "must be a mapping of metadata keys to the wanted value or a list of them")
            return ()
        for name in value:
            self._check_metadata(str(name), (*path, str(name)))
        return tuple(metadata_is(str(name), wanted) for name, wanted in value.items())

    def _metadata_has(self, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        names = self._names(value, path)
        if names is None:
            return ()
        for name in sorted(names):
            self._check_metadata(name, path)
        return tuple(
            Condition(key="metadata_has", text=f"metadata_has: {name}", test=partial(has, name), wanted=frozenset({name}))
            for name in sorted(names)
        )

    def _check_metadata(self, name: str, path: tuple[str | int, ...]) -> None:
        instead = NEVER_METADATA.get(name)
        if instead is not None:
            self._wrong(path, f"can never match: {name} is not among the metadata that rules see; {instead}")

    def _prompt_matches(self, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        patterns = self._names(value, path)
        if patterns is None:
            return ()
        compiled, mistakes = compile_patterns(patterns)
        for pattern, why in mistakes:
            self._wrong(path, f"{pattern!r} is not a regular expression of the RE2 syntax: {why}")
        return (
            Condition(
                key="prompt_matches",
                text=_shown("prompt_matches", patterns),
                test=lambda message, _grant: any(pattern.search(message.prompt) is not None for pattern in compiled),
                wanted=patterns,
            ),
        )

    def _language(self, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        values = self._names(value, path)
        if values is None:
            return ()
        for unknown in sorted(values - set(LANGUAGES)):
            self._wrong(path, f"{unknown!r} is not a language that is recognised{nearest(unknown, LANGUAGES)}")
        return (
            Condition(
                key="language",
                text=_shown("language", values),
                test=lambda message, _grant: language_of(message.prompt) in values,
                wanted=values,
            ),
        )

    def _api_key_available(self, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        values = self._names(value, path)
        if values is None:
            return ()
        for unknown in sorted(values - self._known.providers):
            self._wrong(path, f"{unknown!r} is not a provider{nearest(unknown, sorted(self._known.providers))}")
        available = not values.isdisjoint(self._known.configured)
        return (
            Condition(
                key="api_key_available",
                text=_shown("api_key_available", values),
                test=lambda _message, _grant: available,
                wanted=values,
                always=available,
            ),
        )

    def _prompt_tokens(self, key: str, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            self._wrong(path, "must be a whole number of tokens, 0 or more")
            return ()
        limit = value
        test: Test = (
            (lambda message, _grant: message.tokens() > limit)
            if key == "prompt_tokens_over"
            else (lambda message, _grant: message.tokens() < limit)
        )
        return (Condition(key=key, text=f"{key}: {limit}", test=test, wanted=limit),)

    def _names(self, value: object, path: tuple[str | int, ...]) -> frozenset[str] | None:
        values = [value] if isinstance(value, str) else value
        if isinstance(values, Sequence) and values and all(isinstance(item, str) and item for item in values):
            return frozenset(str(item) for item in values)
        self._wrong(path, "must be a text, or a list of texts any of which may match")
        return None

    def _wrong(self, path: tuple[str | int, ...], text: str) -> None:
        self.complaints.append(Complaint((*self.path, *path), text))


def _any(branches: list[tuple[Condition, ...]]) -> Condition:
    def test(message: Message, grant: Grant) -> bool:
        return any(all(part.test(message, grant) for part in branch) for branch in branches)

    return Condition(
        key="any",
        text="any of (" + " | ".join(_joined(branch) for branch in branches) + ")",
        test=test,
        wanted=frozenset(_meanings(branch) for branch in branches),
        branches=tuple(branches),
    )


def _not(parts: tuple[Condition, ...]) -> Condition:
    def test(message: Message, grant: Grant) -> bool:
        return not all(part.test(message, grant) for part in parts)

    return Condition(key="not", text=f"not ({_joined(parts)})", test=test, wanted=_meanings(parts), branches=(parts,))


def _meanings(parts: tuple[Condition, ...]) -> frozenset[Hashable]:
    return frozenset(part.meaning for part in parts)


def _joined(parts: tuple[Condition, ...]) -> str:
    return ", ".join(part.text for part in parts)


def _shown(key: str, values: frozenset[str]) -> str:
    return f"{key}: {' | '.join(sorted(values))}"
