"""Decoders are tested alike: what comes out, and with what mistake, however the bytes are cut."""

from collections.abc import Callable, Iterable

import pytest

from dagi.ports.target import Event
from dagi.targets.models.wire import Decoder, WireError

Decode = Callable[[Decoder, Iterable[bytes]], tuple[list[Event], str | None]]


def _decode(decoder: Decoder, portions: Iterable[bytes]) -> tuple[list[Event], str | None]:
    events: list[Event] = []
    try:
        for portion in portions:
            events += decoder.feed(portion)
            if decoder.failed is not None:
                return events, str(decoder.failed)
        events += decoder.finish()
    except WireError as error:
        return events, str(error)
    return events, None if decoder.failed is None else str(decoder.failed)


@pytest.fixture(scope="session")
def decode() -> Decode:
    """Feed a decoder; the events, and the mistake's sentence."""
    return _decode
