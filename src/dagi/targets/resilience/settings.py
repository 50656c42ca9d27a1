"""Keys of a provider's configuration that are about resilience and not about the provider."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Weight = Annotated[float, Field(ge=0.01, le=100)]
_STRICT = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class RetrySettings(BaseModel):
    """`retry`: attempts in all, and the seconds before the second one."""

    model_config = _STRICT

    attempts: int = Field(default=2, ge=1, le=10)
    delay_s: float = Field(default=1.0, ge=0, le=60)


class BreakerSettings(BaseModel):
    """`breaker`: failures in a row that open it, and for how many seconds."""

    model_config = _STRICT

    failures: int = Field(default=5, ge=1)
    open_s: float = Field(default=10.0, gt=0)


class ResilienceSettings(BaseModel):
    """How a provider is asked. All `_ms` are milliseconds.

    Attributes:
        timeout_ms: one target, all attempts, time in the queue not counted.
        first_token_timeout_ms, idle_timeout_ms: until the first piece of an answer, and between pieces.
        max_concurrent, max_queue, queue_timeout_ms: the queue in front of the provider.
        role_weights: how many turns a waiting person with the role gets for one of a person without, in the same DAO; 1 where not named.
    """

    model_config = _STRICT

    timeout_ms: int = Field(default=30_000, ge=1)
    first_token_timeout_ms: int | None = Field(default=None, ge=1)
    idle_timeout_ms: int | None = Field(default=None, ge=1)
    max_concurrent: int = Field(default=3, ge=1)
    max_queue: int = Field(default=100, ge=0)
    queue_timeout_ms: int = Field(default=10_000, ge=1)
    role_weights: dict[str, Weight] = {"admin": 4.0, "contributor": 2.0, "member": 2.0}
    retry: RetrySettings = RetrySettings()
    breaker: BreakerSettings = BreakerSettings()


# Which keys of a provider's `config` belong here; the others are the provider's own.
RESILIENCE_KEYS: tuple[str, ...] = tuple(ResilienceSettings.model_fields)
