"""Sans-IO codecs of model servers: bytes in, events out. Nothing here awaits.

A decoder is fed bytes in any portions. What was decoded before a mistake in the bytes is always returned; the mistake is then kept in
`failed` and raised by the next call, so that the same bytes give the same events however they were cut.
"""

from typing import Protocol

from dagi.ports.target import Event

FRAME_LIMIT = 1024 * 1024
ANSWER_LIMIT = 16 * 1024 * 1024


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

    def finish(self) -> list[Event]:
        """The events that were still open when the body ended.

        Raises:
            WireError: the answer is broken off, or holds nothing.
        """
        ...
