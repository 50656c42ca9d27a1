"""What an answer costs, from a table that needs no network. Amounts are whole millionths of a currency unit."""

import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from typing import Final

import msgspec

from dagi.message import Usage

# A provider's word is not trusted with more than this for one answer.
MOST_TOKENS: Final = 100_000_000
_REMEMBERED: Final = 1_000
_LONGEST_NAME: Final = 200
_FINE: Final = 1_000_000


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens of the models of one pattern cost, in currency units.

    Attributes:
        model: a pattern such as `gpt-5-mini*`: `*` stands for any text, `?` for one character.
        provider: the provider's name in the configuration; None for every provider.
        cached_input: for prompt tokens that the provider had in its cache; None costs as much as others.
    """

    model: str
    input: float
    output: float
    cached_input: float | None = None
    provider: str | None = None


class _Rates(msgspec.Struct, frozen=True):
    """Millionths of a millionth a token."""

    input: int
    output: int
    cached: int


class PriceTable:
    """Prices by model; the first pattern that matches counts.

    Args:
        prices: the operator's own before the packaged ones.
        models: the model each provider is configured with, for what reports another name, or none.
    """

    def __init__(self, prices: Sequence[Price] = (), models: Mapping[str, str] | None = None) -> None:
        self._prices = [(price.provider, re.compile(translate(price.model)), _rates(price)) for price in prices]
        self._models = dict(models or {})
        self._found: dict[tuple[str, str], _Rates | None] = {}

    def cost(self, provider: str, model: str, usage: Usage) -> int:
        """Millionths that an answer costs, rounded up; nothing where the model has no price.

        What is in the total and in neither part costs what the answer does: several servers count a model's thinking that way.
        """
        rates = self._of(provider, model)
        if rates is None:
            return 0
        prompt = bounded(usage.prompt_tokens)
        completion = max(bounded(usage.completion_tokens), bounded(usage.total_tokens) - prompt)
        cached = min(prompt, bounded(usage.cached_tokens))
        return -(-((prompt - cached) * rates.input + cached * rates.cached + completion * rates.output) // _FINE)

    def knows(self, provider: str) -> bool:
        """Whether what the provider answers has a price."""
        return self._of(provider, "") is not None

    def _of(self, provider: str, model: str) -> _Rates | None:
        asked = (provider, model)
        if asked in self._found:
            return self._found[asked]
        rates = self._search(provider, model) or self._search(provider, self._models.get(provider, ""))
        # The name comes from upstream: it must not fill the memory.
        if len(self._found) < _REMEMBERED and len(model) <= _LONGEST_NAME:
            self._found[asked] = rates
        return rates

    def _search(self, provider: str, model: str) -> _Rates | None:
        return next((rates for only, pattern, rates in self._prices if only in {None, provider} and pattern.match(model)), None)


def bounded(tokens: int) -> int:
    """A number of tokens as far as it can be believed."""
    return tokens if 0 <= tokens <= MOST_TOKENS else 0 if tokens < 0 else MOST_TOKENS


def _rates(price: Price) -> _Rates:
    cached = price.input if price.cached_input is None else price.cached_input
    return _Rates(round(price.input * _FINE), round(price.output * _FINE), round(cached * _FINE))
