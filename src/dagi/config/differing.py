"""What differs between two configurations, and which of it a running stack can take over."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

import msgspec

# These are swapped in a running stack; everything else belongs to what is opened once at the start.
RELOADED = re.compile(r"(llm_providers|routing_rules|prices|limits\.(key|user|dao))(?=[.\[,]|\Z)")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One value that differs.

    Attributes:
        key: dotted; a member of a list of named things by its name, for example `llm_providers[local].config.model`.
        before, after: JSON values; `ABSENT` where there is none.
        restart: the stack takes it over at its next start only.
    """

    key: str
    before: object
    after: object
    restart: bool


class Absent(msgspec.Struct, frozen=True):
    """Stands where a configuration has nothing."""


ABSENT = Absent()


def differences(before: Mapping[str, object], after: Mapping[str, object]) -> list[Change]:
    """Every single value that is not the same in both, in the order of the keys.

    Args:
        before, after: as `dagi.config.as_data` gives them, so without secrets: two different secrets look alike here.
    """
    return [Change(key=key, before=old, after=new, restart=RELOADED.match(key) is None) for key, old, new in _different(before, after, "")]


def _different(before: object, after: object, path: str) -> Iterator[tuple[str, object, object]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        old, new = cast("Mapping[str, object]", before), cast("Mapping[str, object]", after)
        for key in dict.fromkeys((*old, *new)):
            yield from _different(old.get(key, ABSENT), new.get(key, ABSENT), f"{path}.{key}" if path else key)
        return
    named_before, named_after = _named(before), _named(after)
    if named_before is not None and named_after is not None:
        for name in dict.fromkeys((*named_before, *named_after)):
            yield from _different(named_before.get(name, ABSENT), named_after.get(name, ABSENT), f"{path}[{name}]")
        if list(named_before) != list(named_after) and set(named_before) == set(named_after):
            yield f"{path}, their order", list(named_before), list(named_after)
    elif _exact(before) != _exact(after):
        yield path, before, after


def _named(value: object) -> dict[str, object] | None:
    """A list of named things by name; None for anything else."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return None
    things: dict[str, object] = {}
    for entry in cast("Sequence[object]", value):
        name = cast("Mapping[str, object]", entry).get("name") if isinstance(entry, Mapping) else None
        if not isinstance(name, str) or name in things:
            return None
        things[name] = entry
    return things


def _exact(value: object) -> object:
    """The value as JSON: there, other than in Python, 1 is not true."""
    return value if value is ABSENT else msgspec.json.encode(value, order="sorted")
