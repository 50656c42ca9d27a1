"""Provider: a kind of model server, behind the entry-point group `dagi.providers`."""

from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import msgspec

from dagi.message import Grant, Sender
from dagi.ports.clock import Clock
from dagi.ports.devtools import Tools
from dagi.ports.embeddings import Embeddings
from dagi.ports.facts import Facts
from dagi.ports.http import HttpClient
from dagi.ports.proposals import NO_PROPOSALS, OpenProposals
from dagi.ports.secrets import shown
from dagi.ports.target import Chain, Target

SettingsT = TypeVar("SettingsT")


class Noting(Protocol):
    """Tells the operator what happens outside one exchange; see `dagi.ports.observer.Observer.note`."""

    def __call__(self, event: str, **facts: object) -> None:
        """Must not raise and must not wait."""
        ...


def unheard(event: str, **facts: object) -> None:
    """Nobody is told."""
    del event, facts


class ProviderTools(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider may use of the world.

    Attributes:
        api_key: its key, resolved from `api_key_env` or `api_key_file` of its settings; None where there is none.
        note: tells the operator of what happens outside one exchange.
        proposals: what DAOs vote on now.
        devtools: the developer tools; None where this installation has none.
        chain: finds what answers under these names, one after the other, for a provider that asks others. Raises UnknownModel.
        rights: what a sender may do by now, for work that takes long. Raises AccessUnavailable.
    """

    http: HttpClient
    facts: Facts
    clock: Clock
    api_key: str | None = None
    note: Noting = unheard
    proposals: OpenProposals = NO_PROPOSALS
    devtools: Tools | None = None
    chain: Callable[[tuple[str, ...]], Chain] | None = None
    rights: Callable[[Sender], Grant] | None = None

    def __repr__(self) -> str:
        return shown(self, "api_key")


@runtime_checkable
class Closing(Protocol):
    """What a provider's target has as well where it holds something, such as a process of its own."""

    async def aclose(self) -> None:
        """Give it back. Called once, when nobody asks the target any more."""
        ...


@runtime_checkable
class Lacking(Protocol):
    """What a provider has as well where it may need more than a key, such as a package that comes as an extra."""

    def missing(self, settings: Any) -> str:  # noqa: ANN401 - the provider's own settings
        """What the operator has to install or set before it can answer, in half a sentence; empty where nothing is missing."""
        ...


@runtime_checkable
class Embedding(Protocol):
    """What a provider has as well where its kind of server may have a model that makes vectors."""

    def embeddings(self, name: str, settings: Any, tools: ProviderTools) -> "Vectors | None":  # noqa: ANN401 - the provider's own settings
        """The embedding model of these settings; None where they name none. Touches no network."""
        ...


class Vectors(msgspec.Struct, frozen=True):
    """An embedding model, and what its server calls it."""

    model: str
    target: Embeddings


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing a check found out.

    Attributes:
        what: one sentence without secrets.
        fix: what the operator can do about it; empty where nothing is to be done.
    """

    severity: Literal["ok", "warning", "error"]
    what: str
    fix: str = ""


class Provider(Protocol[SettingsT]):
    """One kind of model server.

    Attributes:
        Settings: the class (a frozen pydantic model that forbids unknown keys) of the provider's own configuration keys.
        needs_key: it cannot answer without a key, so without one it is `not_configured`.
    """

    @property
    def Settings(self) -> type[SettingsT]:  # noqa: N802 (it is a class)
        """See the class."""
        ...

    @property
    def needs_key(self) -> bool:
        """See the class."""
        ...

    def build(self, name: str, settings: SettingsT, tools: ProviderTools) -> Target:
        """The target that answers under this name. Touches no network."""
        ...

    async def check(self, name: str, settings: SettingsT, tools: ProviderTools) -> tuple[Finding, ...]:
        """Whether it could answer now: reachable, model there, key accepted. Never raises for what it finds; set a timeout around it."""
        ...
