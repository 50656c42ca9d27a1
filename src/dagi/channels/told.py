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
        buttons: below it, from left to right; of a notice those that are to stand below the message whose button was pressed, empty for the
            same as before.
        notice: for whoever pressed a button alone, at most 200 characters, and no message: others read along, or there is not much to say.
        keep: the buttons of which one was pressed stay below their message, for others or for another time.
    """

    markdown: str
    request_id: str = ""
    buttons: tuple[Button, ...] = ()
    notice: bool = False
    keep: bool = False
