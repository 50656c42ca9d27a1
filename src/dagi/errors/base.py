"""The base of the tree."""

from typing import ClassVar


class DagiError(Exception):
    """Base of every error the stack raises on purpose.

    Args:
        message: one sentence a person can act on; it may reach the caller, so it holds no secret, host path or text of others.
        facts: JSON values that go beside the message into the error answer.
    """

    code: ClassVar[str] = "INTERNAL"

    def __init__(self, message: str, **facts: object) -> None:
        super().__init__(message)
        self.message = message
        self.facts = facts
        # An exchange's log line tells of it already.
        self.accounted = False
        # What a face adds to the head of the answer that tells it.
        self.headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def retry_after_s(self) -> float | None:
        """Seconds after which another try makes sense, where that is known."""
        value = self.facts.get("retry_after_s")
        return float(value) if isinstance(value, int | float) else None
