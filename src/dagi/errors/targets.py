"""The branch of the tree about those who answer."""

from dagi.errors.base import DagiError


class TargetFailure(DagiError):
    """A target did not answer.

    Attributes:
        provider: the target's name in the configuration.
        detail: the same for operators, with addresses, settings and what the target itself said; never shown to a caller.
        retryable: the same target may answer when asked again.
        unhealthy: it says something about the target's health, so a breaker counts it.
    """

    retryable: bool = False
    unhealthy: bool = False

    def __init__(self, message: str, *, provider: str, detail: str = "", **facts: object) -> None:
        super().__init__(message, provider=provider, **facts)
        self.provider = provider
        self.detail = detail or message


class ProviderError(TargetFailure):
    """The provider answered with an error, or with something that is no answer.

    Args:
        upstream_status: its HTTP status, where there was one. A 4xx is our own request's fault (or our key's): it is neither
            tried again nor held against the provider's health.
    """

    code = "PROVIDER_ERROR"

    def __init__(self, message: str, *, provider: str, detail: str = "", upstream_status: int | None = None, **facts: object) -> None:
        if upstream_status is not None:
            facts["upstream_status"] = upstream_status
        super().__init__(message, provider=provider, detail=detail, **facts)
        ours = upstream_status is not None and 400 <= upstream_status <= 499
        self.retryable = not ours
        self.unhealthy = not ours


class ProviderBusy(ProviderError):
    """The provider asked for patience (HTTP 429); `retry_after_s` says how much, where it did."""

    def __init__(self, message: str, *, provider: str, detail: str = "", **facts: object) -> None:
        super().__init__(message, provider=provider, detail=detail, upstream_status=429, **facts)
        self.retryable = True


class Rejected(ProviderError):
    """The provider refused the request for something the caller itself has set. `field` names it; the message quotes the provider."""

    code = "VALIDATION_ERROR"


class ProviderTimeout(TargetFailure):
    """The provider did not answer in time."""

    code = "PROVIDER_TIMEOUT"
    retryable = True
    unhealthy = True


class ProviderUnavailable(TargetFailure):
    """The provider was not asked: its breaker is open after repeated failures."""

    code = "PROVIDER_UNAVAILABLE"


class QueueFull(TargetFailure):
    """Too many requests wait for the provider already, or one waited too long."""

    code = "QUEUE_FULL"


class CannotDo(TargetFailure):
    """The provider was not asked, for it cannot do what the request wants; another one may. `field` names the wish."""

    code = "VALIDATION_ERROR"

    def __init__(self, message: str, *, provider: str, field: str) -> None:
        super().__init__(message, provider=provider, field=field)


class NotConfigured(TargetFailure):
    """The provider lacks something the operator has to set, for example its key."""

    code = "NOT_CONFIGURED"
