"""What goes wrong at platforms and chains outside, or was never set up for them."""

from dagi.errors.base import DagiError


class OutsideFailure(DagiError):
    """A chain's node or a platform (Discord, for example) did not answer, or not usably.

    Attributes:
        service: what the configuration calls it.
        detail: the same for operators; without addresses, which may hold keys.
    """

    code = "PROVIDER_ERROR"

    def __init__(self, message: str, *, service: str, detail: str = "") -> None:
        super().__init__(message, service=service)
        self.service = service
        self.detail = detail or message


class OutsideTimeout(OutsideFailure):
    """It did not answer in time."""

    code = "PROVIDER_TIMEOUT"


class SwitchedOff(DagiError):
    """This installation has not set up what was asked for; says which key of the configuration does."""

    code = "NOT_CONFIGURED"


class Misconfigured(SwitchedOff):
    """A platform refuses what this installation has set up, whoever asks.

    Attributes:
        service: what the configuration calls it.
        detail: for operators: what to check.
    """

    def __init__(self, message: str, *, service: str, detail: str) -> None:
        super().__init__(message, service=service)
        self.service = service
        self.detail = detail
