"""The one exception tree.

::

    DagiError                      what happened, where, what to do; `code` is the contract, `facts` go to the caller
    ├── Invalid                    VALIDATION_ERROR: the request is wrong; names the field
    │   └── ContextTooLong         CONTEXT_TOO_LONG: the conversation does not fit the model
    ├── Unauthenticated            UNAUTHENTICATED: no key, or not one of ours
    ├── Denied                     RBAC_PERMISSION_DENIED: the grant does not cover what was asked
    │   └── Suspended              DAO_SUSPENDED: said to members only
    ├── Missing                    NOT_FOUND
    │   ├── UnknownModel           UNKNOWN_MODEL
    │   ├── UnknownTool            UNKNOWN_TOOL
    │   ├── UnknownWorkflow        UNKNOWN_WORKFLOW
    │   └── NoRoute                NO_ROUTE: no rule matches
    ├── MethodNotAllowed           METHOD_NOT_ALLOWED
    ├── Conflict                   CONFLICT: it exists already, or changed meanwhile
    ├── Gone                       GONE: it was there once: used up, or past its time
    ├── PreconditionFailed         PRECONDITION_FAILED: it is not in the state the caller insisted on (if_match)
    ├── PayloadTooLarge            PAYLOAD_TOO_LARGE
    ├── UnsupportedMediaType       UNSUPPORTED_MEDIA_TYPE
    ├── TargetFailure              a target did not answer; another one may
    │   ├── ProviderError          PROVIDER_ERROR: it answered with an error, or with something unusable
    │   │   ├── ProviderBusy       the same, but it asked for patience (429)
    │   │   └── Rejected           VALIDATION_ERROR: it refused what the caller itself has asked for (400, 422)
    │   ├── ProviderTimeout        PROVIDER_TIMEOUT
    │   ├── ProviderUnavailable    PROVIDER_UNAVAILABLE: refused before it was asked (its breaker is open)
    │   ├── QueueFull              QUEUE_FULL: too many wait already
    │   ├── CannotDo               VALIDATION_ERROR: what is asked for has no place in its protocol, or is beyond its model
    │   └── NotConfigured          NOT_CONFIGURED: it lacks a key or a model
    ├── OutsideFailure             PROVIDER_ERROR: a chain's node or a platform gave no usable answer
    │   └── OutsideTimeout         PROVIDER_TIMEOUT
    ├── SwitchedOff                NOT_CONFIGURED: this installation has not set it up
    │   └── Misconfigured          the same: it has, but a platform outside does not take it like that
    ├── SandboxUnavailable         SANDBOX_UNAVAILABLE: code of others cannot be kept in bounds here, so it is not run
    ├── AccessUnavailable          ACCESS_UNAVAILABLE: the decision cannot be made, so it is a denial
    │   └── BudgetUnknown          the same, about money: what was spent cannot be read
    ├── RateLimited                RATE_LIMITED: too many requests in a minute, or too many tokens in a day
    ├── BudgetExceeded             BUDGET_EXCEEDED: the money of the month is spent
    ├── Overloaded                 QUEUE_FULL: the stack itself cannot take more (nothing may go unrecorded)
    ├── ConfigError                a mistake in the configuration; stops the start or the reload
    ├── StoreError                 the database cannot be used; says why
    └── Internal                   INTERNAL: a defect of ours
"""

from typing import Protocol, Self

from dagi.errors.base import DagiError
from dagi.errors.outside import Misconfigured, OutsideFailure, OutsideTimeout, SwitchedOff
from dagi.errors.targets import (
    CannotDo,
    NotConfigured,
    ProviderBusy,
    ProviderError,
    ProviderTimeout,
    ProviderUnavailable,
    QueueFull,
    Rejected,
    TargetFailure,
)

__all__ = (
    "AccessUnavailable",
    "BudgetExceeded",
    "BudgetUnknown",
    "CannotDo",
    "ConfigError",
    "Conflict",
    "ContextTooLong",
    "DagiError",
    "Denied",
    "Gone",
    "Internal",
    "Invalid",
    "MethodNotAllowed",
    "Misconfigured",
    "Missing",
    "NoRoute",
    "NotConfigured",
    "OutsideFailure",
    "OutsideTimeout",
    "Overloaded",
    "PayloadTooLarge",
    "PreconditionFailed",
    "ProviderBusy",
    "ProviderError",
    "ProviderTimeout",
    "ProviderUnavailable",
    "QueueFull",
    "RateLimited",
    "Rejected",
    "SandboxUnavailable",
    "StoreError",
    "Suspended",
    "SwitchedOff",
    "TargetFailure",
    "Unauthenticated",
    "UnknownModel",
    "UnknownTool",
    "UnknownWorkflow",
    "UnsupportedMediaType",
    "Whose",
)


class Invalid(DagiError):
    """The request cannot be understood. `field` names where the mistake is."""

    code = "VALIDATION_ERROR"

    def __init__(self, message: str, *, field: str, **facts: object) -> None:
        super().__init__(message, field=field, **facts)


class ContextTooLong(Invalid):
    """The conversation is longer than the model can read."""

    code = "CONTEXT_TOO_LONG"


class Unauthenticated(DagiError):
    """The caller did not prove who it is."""

    code = "UNAUTHENTICATED"


class Whose(Protocol):
    """Whom a decision is about: a grant, or a sender."""

    @property
    def dao_id(self) -> str:
        """The DAO."""
        ...

    @property
    def user_id(self) -> str:
        """The identity."""
        ...


class Denied(DagiError):
    """The sender may not do this. An unknown DAO and a missing membership look the same from outside.

    Attributes:
        whose: whom it was denied, for the audit; None where nobody is known.
        key_id: the key that spoke for them.
        audited: it is on record.
    """

    code = "RBAC_PERMISSION_DENIED"
    whose: Whose | None = None
    key_id: str = ""
    audited: bool = False

    def by(self, whose: Whose, key_id: str = "") -> Self:
        """The same, with the one it was denied to, and the key that spoke for them."""
        self.whose, self.key_id = whose, key_id
        return self


class Suspended(Denied):
    """The DAO is suspended; only its own members are told."""

    code = "DAO_SUSPENDED"


class Missing(DagiError):
    """What was named does not exist."""

    code = "NOT_FOUND"


class UnknownModel(Missing):
    """No provider of that name can be chosen by the caller."""

    code = "UNKNOWN_MODEL"


class UnknownTool(Missing):
    """No developer tool has that name."""

    code = "UNKNOWN_TOOL"


class UnknownWorkflow(Missing):
    """No workflow has that name."""

    code = "UNKNOWN_WORKFLOW"


class NoRoute(Missing):
    """No routing rule matches the message."""

    code = "NO_ROUTE"


class MethodNotAllowed(DagiError):
    """The path exists, the method does not. `allow` lists those that do."""

    code = "METHOD_NOT_ALLOWED"


class Conflict(DagiError):
    """It exists already, or somebody changed it meanwhile."""

    code = "CONFLICT"


class Gone(DagiError):
    """It was there once: a code that was used, an invitation past its time."""

    code = "GONE"


class PreconditionFailed(DagiError):
    """It is not in the state the caller insisted on; `etag` is that of the state it is in."""

    code = "PRECONDITION_FAILED"


class SandboxUnavailable(DagiError):
    """Code of others cannot be kept in bounds on this machine, so it is not run. `dagi doctor` says why."""

    code = "SANDBOX_UNAVAILABLE"


class PayloadTooLarge(DagiError):
    """The body is larger than this server reads."""

    code = "PAYLOAD_TOO_LARGE"


class UnsupportedMediaType(DagiError):
    """The body is not JSON."""

    code = "UNSUPPORTED_MEDIA_TYPE"


class AccessUnavailable(DagiError):
    """Memberships cannot be read, so no decision can be made: a denial."""

    code = "ACCESS_UNAVAILABLE"


class BudgetUnknown(AccessUnavailable):
    """What was spent cannot be read, so nothing that may cost money is allowed."""


class RateLimited(DagiError):
    """Too many requests, or too many tokens. `limit` says which limit, `limit_of` whose: the key's, the user's or the DAO's."""

    code = "RATE_LIMITED"


class BudgetExceeded(DagiError):
    """The money of the month is spent. `limit_of` says whose: the key's, the user's or the DAO's."""

    code = "BUDGET_EXCEEDED"


class Overloaded(DagiError):
    """The stack cannot take the request now without losing its record."""

    code = "QUEUE_FULL"


class ConfigError(DagiError):
    """The configuration is wrong. The message is complete: every mistake with file, line, key and what to write."""

    code = "NOT_CONFIGURED"


class StoreError(DagiError):
    """The database cannot be opened or migrated; says why and what to do."""

    code = "NOT_CONFIGURED"


class Internal(DagiError):
    """A defect of ours. The caller sees the request id alone."""

    code = "INTERNAL"
