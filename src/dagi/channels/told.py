"""What is said back, whatever the platform."""

import msgspec


class Button(msgspec.Struct, frozen=True):
    """A button below what is said; `data` comes back when it is pressed, at most 64 bytes of it."""

    label: str
    data: str


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What is said back.

    Attributes:
        markdown: of a model, or of ours.
        request_id: of the exchange it answers; empty where nobody was asked.
        buttons: below it, in one row.
    """

    markdown: str
    request_id: str = ""
    buttons: tuple[Button, ...] = ()
