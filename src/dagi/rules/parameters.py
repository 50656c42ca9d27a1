"""A rule's model parameters: over the provider's own, under the caller's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, cast

import msgspec

from dagi.errors import Invalid
from dagi.rules.known import nearest

Mistakes = list[tuple[tuple[str | int, ...], str]]

# Two names of one parameter: who says one of them has said both.
_TOKEN_LIMITS: Final = frozenset({"max_tokens", "max_completion_tokens"})
_TOKENS_MOST: Final = 10_000_000
_STOPS_MOST: Final = 16
_caller: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


class Parameters(msgspec.Struct, frozen=True):
    """Model parameters by OpenAI's names, which each provider translates into its own."""

    values: Mapping[str, object]
    encoded: Mapping[str, msgspec.Raw]
    whole: msgspec.Raw

    @classmethod
    def of(cls, values: Mapping[str, object]) -> "Parameters":
        """The parameters, encoded once."""
        return cls(
            values,
            {key: msgspec.Raw(msgspec.json.encode(value)) for key, value in values.items()},
            msgspec.Raw(msgspec.json.encode(values)),
        )

    def under(self, options: msgspec.Raw | None) -> msgspec.Raw:
        """The caller's options with these wherever the caller says nothing, or null.

        Raises:
            Invalid: the options are no JSON object.
        """
        if options is None:
            return self.whole
        try:
            wishes = _caller.decode(options)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise Invalid("The model parameters have to be a JSON object.", field="options") from None
        said = {name for name, value in wishes.items() if bytes(value).strip() != b"null"}
        taken = said | _TOKEN_LIMITS if said & _TOKEN_LIMITS else said
        own = {name: value for name, value in self.encoded.items() if name not in taken}
        return msgspec.Raw(msgspec.json.encode({**wishes, **own}))


def read_parameters(value: object) -> tuple[Parameters | None, Mistakes]:
    """The parameters of a mapping in a rule, and what is wrong with it."""
    if not isinstance(value, Mapping) or not value:
        return None, [((), "must be a mapping such as {temperature: 0.2, max_tokens: 400}")]
    mistakes: Mistakes = []
    for key, said in cast("Mapping[object, object]", value).items():
        name = str(key)
        if name == "model":
            mistakes.append(((name,), "each provider of a chain has a model of its own; name a provider with that model in use_provider"))
        elif name not in _CHECKS:
            mistakes.append(((name,), f"is not a model parameter{nearest(name, tuple(_CHECKS))}"))
        else:
            holds, sentence = _CHECKS[name]
            if not holds(said):
                mistakes.append(((name,), sentence))
    if all(name in value for name in _TOKEN_LIMITS):
        mistakes.append((("max_completion_tokens",), "is another name of max_tokens; keep one of them"))
    return (None, mistakes) if mistakes else (Parameters.of(dict(cast("Mapping[str, object]", value))), [])


def _number(least: float, most: float, *, whole: bool = False) -> tuple[Callable[[object], bool], str]:
    kinds = (int,) if whole else (int, float)
    sentence = f"must be a {'whole number' if whole else 'number'} from {least:g} to {most:.0f}"
    return lambda said: isinstance(said, kinds) and not isinstance(said, bool) and least <= said <= most, sentence


def _stops(said: object) -> bool:
    words = [said] if isinstance(said, str) else said
    return isinstance(words, Sequence) and 0 < len(words) <= _STOPS_MOST and all(isinstance(word, str) and word for word in words)


_CHECKS: Final[Mapping[str, tuple[Callable[[object], bool], str]]] = {
    "temperature": _number(0, 2),
    "top_p": (lambda said: _number(0, 1)[0](said) and said != 0, "must be a number above 0 and up to 1"),
    "max_tokens": _number(1, _TOKENS_MOST, whole=True),
    "max_completion_tokens": _number(1, _TOKENS_MOST, whole=True),
    "presence_penalty": _number(-2, 2),
    "frequency_penalty": _number(-2, 2),
    "seed": _number(-(2**63), 2**63 - 1, whole=True),
    "stop": (_stops, f"must be a text, or a list of 1 to {_STOPS_MOST} texts"),
}
