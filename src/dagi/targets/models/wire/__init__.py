"""Sans-IO codecs of model servers: bytes in, events out. Nothing here awaits.

A decoder is fed bytes in any portions. What was decoded before a mistake in the bytes is always returned; the mistake is then kept in
`failed` and raised by the next call, so that the same bytes give the same events however they were cut.
"""

from typing import Protocol, TypeVar

import msgspec

from dagi.ports.target import Event, Passed

T = TypeVar("T")

FRAME_LIMIT = 1024 * 1024
ANSWER_LIMIT = 16 * 1024 * 1024
# The largest integer that JSON's readers agree on; no answer has as many tokens.
_COUNT_LIMIT = 2**53


class WireError(ValueError):
    """The bytes are no answer, or the answer says that it failed.

    Attributes:
        code: the upstream's own name for the error, where it sent one.
    """

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Decoder(Protocol):
    """Decodes one answer.

    Attributes:
        done: the answer's end has been seen; whatever follows is ignored.
        failed: the mistake that ended the decoding.
    """

    done: bool
    failed: WireError | None

    def feed(self, data: bytes) -> list[Event]:
        """The events these bytes complete.

        Raises:
            WireError: the bytes are no answer, and nothing before the mistake is left to return.
        """
        ...

    def runs(self, data: bytes) -> list[bytes]:
        """The same bytes, cut so that `passed` can take as much as possible of them."""
        ...

    def passed(self, data: bytes) -> Passed | None:
        """The same bytes as they are, where they are whole frames that need not be decoded at once; None where they do."""
        ...

    def finish(self) -> list[Event]:
        """The events that were still open when the body ended.

        Raises:
            WireError: the answer is broken off, or holds nothing.
        """
        ...


def parsed(decoder: msgspec.json.Decoder[T], data: bytes) -> T:
    """Parse one JSON body, or one line of it.

    Raises:
        WireError: it is not JSON, or not of a form we know.
    """
    try:
        return decoder.decode(data)
    except msgspec.ValidationError as error:
        raise WireError(f"the answer has an unknown form: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise WireError("the answer is not valid JSON") from None


def counted(tokens: int | None) -> int:
    """The number of tokens an upstream claims; 0 where that cannot be one. Counters and columns rely on it."""
    return tokens if tokens is not None and 0 <= tokens <= _COUNT_LIMIT else 0
