"""Weighted targets: a rule that shares its conversations among several providers, each conversation always with the same one."""

import math
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Final, cast

import msgspec

from dagi.message import Sender
from dagi.rules.known import Known, nearest

Mistakes = list[tuple[tuple[str | int, ...], str]]

_GREATEST: Final = 1_000_000
_SCALE: Final = 2**64
_KEYS: Final = ("name", "weight")


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's part.

    Attributes:
        weight: in proportion to the others' weights.
        share: from 0 to 1, among the providers that can be asked.
    """

    name: str
    weight: float
    share: float


def chosen(rule: str, shares: Sequence[Share], sender: Sender) -> str:
    """The provider of a conversation: the session's, else the person's, the same at every call and in every process.

    By rendezvous hashing: when a weight changes or a provider drops out, only as many conversations move as have to.
    """
    if len(shares) == 1:
        return shares[0].name
    subject = f"{sender.dao_id}\0{sender.session_id or sender.user_id}".encode("utf-8", "surrogatepass")
    return max((share for share in shares if share.share > 0), key=lambda share: _score(rule, share, subject)).name


def _score(rule: str, share: Share, subject: bytes) -> float:
    digest = blake2b(subject, digest_size=8, key=blake2b(f"{rule}\0{share.name}".encode(), digest_size=32).digest()).digest()
    # Uniform above 0 and below 1.
    chance = (int.from_bytes(digest, "big") + 0.5) / (_SCALE + 1)
    return share.weight / -math.log(chance)


def read_shares(value: Sequence[object], known: Known) -> tuple[tuple[Share, ...], Mistakes]:
    """The shares of a list such as `[{name: a, weight: 90}, {name: b, weight: 10}]`, and what is wrong with it."""
    mistakes: Mistakes = []
    weights: dict[str, float] = {}
    for index, entry in enumerate(value):
        name, weight = _entry(entry, index, known, mistakes)
        if name in weights:
            mistakes.append(((index, "name"), f"{name!r} has a weight already"))
        weights[name] = weight
    if not any(weights.values()) and not mistakes:
        mistakes.append(((), "has no weight above 0, so nobody could be asked"))
    # Where none can be asked, each keeps its part: the answer then says what is missing.
    able = {name: weight for name, weight in weights.items() if name in known.configured and weight} or weights
    total = sum(able.values()) or 1
    return tuple(Share(name=name, weight=weight, share=able.get(name, 0) / total) for name, weight in weights.items()), mistakes


def _entry(entry: object, index: int, known: Known, mistakes: Mistakes) -> tuple[str, float]:
    if not isinstance(entry, Mapping):
        mistakes.append(
            ((index,), "must be a mapping such as {name: a_provider, weight: 90}; to ask one after the other use fallback_provider")
        )
        return "", 0
    fields = cast("Mapping[object, object]", entry)
    mistakes.extend(((index, str(key)), f"is not a key of a share{nearest(str(key), _KEYS)}") for key in fields if key not in _KEYS)
    name, weight = fields.get("name"), fields.get("weight")
    if not isinstance(name, str) or name not in known.providers:
        mistakes.append(((index, "name"), f"{name!r} is not a provider{nearest(str(name), sorted(known.providers))}"))
    if not isinstance(weight, int | float) or isinstance(weight, bool) or not 0 <= weight <= _GREATEST:
        mistakes.append(((index, "weight"), f"must be a number from 0 to {_GREATEST}; parts are in proportion to the weights"))
        weight = 0
    return str(name), weight
