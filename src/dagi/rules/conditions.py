"""The conditions a rule may have: from configuration to tests that need no parsing any more."""

import difflib
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Final

import re2

from dagi.message import MODES, SOURCES, Grant, Message
from dagi.rules.rule import Complaint, Condition, Test

# Message fields a rule compares for equality. `metadata.<key>` joins them for the caller's own metadata.
FIELDS: Final[Mapping[str, Callable[[Message], str | None]]] = {
    "mode": lambda message: message.mode,
    "agent": lambda message: message.agent,
    "source": lambda message: message.sender.source,
    "dao_id": lambda message: message.sender.dao_id,
    "task_type": lambda message: message.task_type,
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
    *_GROUPS,
)
# What a request's metadata says about the sender and the payload is taken out of it before rules see it.
_NEVER_METADATA: Final[Mapping[str, str]] = {
    "dao_id": "use the condition dao_id",
    "source": "use the condition source",
    "user_id": "use the condition role or entitlement",
    "session_id": "no rule can ask for a session",
    "params": "use the condition mode, or metadata.tool",
    "inputs": "use the condition mode, or metadata.workflow",
}
_DEPTH = 16


class Compiler:
    """Compiles the conditions of one rule and collects what is wrong with them."""

    def __init__(self, path: tuple[str | int, ...], is_entitlement: Callable[[str], bool]) -> None:
        self.path = path
        self.complaints: list[Complaint] = []
        self._is_entitlement = is_entitlement

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
                values=values,
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
        for unknown in sorted(name for name in values if not self._is_entitlement(name)):
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
        return tuple(_metadata_is(str(name), wanted) for name, wanted in value.items())

    def _metadata_has(self, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        names = self._names(value, path)
        if names is None:
            return ()
        for name in sorted(names):
            self._check_metadata(name, path)
        return tuple(
            Condition(key="metadata_has", text=f"metadata_has: {name}", test=partial(_has, name), wanted=frozenset({name}))
            for name in sorted(names)
        )

    def _check_metadata(self, name: str, path: tuple[str | int, ...]) -> None:
        instead = _NEVER_METADATA.get(name)
        if instead is not None:
            self._wrong(path, f"can never match: {name} is not among the metadata that rules see; {instead}")

    def _prompt_matches(self, value: object, path: tuple[str | int, ...]) -> tuple[Condition, ...]:
        patterns = self._names(value, path)
        if patterns is None:
            return ()
        options = re2.Options()
        options.log_errors = False
        compiled = []
        for pattern in sorted(patterns):
            try:
                # RE2 runs in linear time whatever the pattern and the prompt are.
                compiled.append(re2.compile(pattern, options))
            except re2.error as error:
                why = error.args[0] if error.args else ""
                why = why.decode("utf-8", "replace") if isinstance(why, bytes) else str(why)
                self._wrong(path, f"{pattern!r} is not a regular expression of the RE2 syntax: {why}")
        return (
            Condition(
                key="prompt_matches",
                text=_shown("prompt_matches", patterns),
                test=lambda message, _grant: any(pattern.search(message.prompt) is not None for pattern in compiled),
                wanted=patterns,
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


def _has(name: str, message: Message, _grant: Grant) -> bool:
    return _said(message, name) is not None


def _any(branches: list[tuple[Condition, ...]]) -> Condition:
    def test(message: Message, grant: Grant) -> bool:
        return any(all(part.test(message, grant) for part in branch) for branch in branches)

    return Condition(
        key="any",
        text="any of (" + " | ".join(_joined(branch) for branch in branches) + ")",
        test=test,
        wanted=frozenset(_meanings(branch) for branch in branches),
    )


def _not(parts: tuple[Condition, ...]) -> Condition:
    def test(message: Message, grant: Grant) -> bool:
        return not all(part.test(message, grant) for part in parts)

    return Condition(key="not", text=f"not ({_joined(parts)})", test=test, wanted=_meanings(parts))


def _meanings(parts: tuple[Condition, ...]) -> frozenset[Hashable]:
    return frozenset(part.meaning for part in parts)


def _joined(parts: tuple[Condition, ...]) -> str:
    return ", ".join(part.text for part in parts)


def _metadata_is(name: str, wanted: object) -> Condition:
    options = list(wanted) if isinstance(wanted, Sequence) and not isinstance(wanted, str) else [wanted]

    def test(message: Message, _grant: Grant) -> bool:
        said = _said(message, name)
        # JSON's true is not its 1, though Python's is.
        return any(said == option and isinstance(said, bool) == isinstance(option, bool) for option in options)

    texts = [option for option in options if isinstance(option, str)]
    return Condition(
        key=f"metadata.{name}",
        text=f"metadata.{name}: {' | '.join(str(option) for option in options)}",
        test=test,
        wanted=frozenset((isinstance(option, bool), _frozen(option)) for option in options),
        values=frozenset(texts) if texts and len(texts) == len(options) else None,
    )


def _frozen(value: object) -> Hashable:
    """Hashable, and equal for equal values."""
    match value:
        case Mapping():
            return frozenset((key, _frozen(inner)) for key, inner in value.items())
        case list() | tuple():
            return tuple(_frozen(inner) for inner in value)
        case _:
            return value


def _said(message: Message, name: str) -> object:
    """A key of the request's metadata, the typed ones included."""
    match name:
        case "provider" | "task_type" | "agent" | "tool" | "workflow":
            return getattr(message, name)
        case _:
            return message.metadata.get(name)


def metadata_text(message: Message, name: str) -> str | None:
    """The metadata's value where it is a text, for the index."""
    said = _said(message, name)
    return said if isinstance(said, str) else None


def _shown(key: str, values: frozenset[str]) -> str:
    return f"{key}: {' | '.join(sorted(values))}"


def nearest(word: str, known: Sequence[str]) -> str:
    """The end of a complaint about an unknown word: what was probably meant, and what there is."""
    close = difflib.get_close_matches(word, known, n=1)
    meant = f'; did you mean "{close[0]}"?' if close else "."
    return f"{meant} Known: {', '.join(known)}"
