"""The packaged table of prices, and the operator's own before it."""

from pathlib import Path

import msgspec

from dagi.access.prices import Price
from dagi.config.marks import plain
from dagi.config.reading import read_text, read_tree
from dagi.config.schema import Prices

_FILE = Path(__file__).parent / "prices.yml"


class PackagedPrices(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table that comes with this version of the stack."""

    version: str
    currency: str
    models: tuple[Price, ...]


def packaged_prices() -> PackagedPrices:
    """Read the table."""
    return msgspec.convert(plain(read_tree(read_text(_FILE, _FILE.name), _FILE.name, {}).root), PackagedPrices)


def prices_in_force(settings: Prices) -> tuple[Price, ...]:
    """The operator's prices, then the packaged ones, where they are in the same currency."""
    own = tuple(
        Price(model=one.model, provider=one.provider, input=one.input, output=one.output, cached_input=one.cached_input)
        for one in settings.models
    )
    packaged = packaged_prices()
    return (*own, *packaged.models) if settings.currency == packaged.currency else own
