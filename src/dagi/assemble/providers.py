"""Providers: from the configuration to targets that can be asked.

A provider type is an entry point of the group `dagi.providers`; it is imported when a configuration names it, ours like everyone's.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from dagi.access.entitlements import is_entitlement
from dagi.config import Loaded, choice, unknown_key
from dagi.errors import ConfigError, UnknownModel
from dagi.ports.clock import Clock
from dagi.ports.observer import Observer
from dagi.ports.provider import Closing, Embedding, Finding, Lacking, Provider, ProviderTools
from dagi.ports.secrets import shown
from dagi.ports.target import Chain, Target, TargetInfo
from dagi.rules.compile import compile_rules
from dagi.rules.known import Known
from dagi.rules.ruleset import RuleSet
from dagi.targets.resilience.answers import Answers
from dagi.targets.resilience.cache import Cache
from dagi.targets.resilience.embedding import ResilientEmbeddings
from dagi.targets.resilience.fallback import Fallback
from dagi.targets.resilience.resilient import ResilientTarget, resilient
from dagi.targets.resilience.settings import RESILIENCE_KEYS, ResilienceSettings
from dagi.targets.unconfigured import Unconfigured, UnconfiguredEmbeddings

T = TypeVar("T")

GROUP = "dagi.providers"
# How often one that is to be closed looks whether it is still needed.
LOOK_S = 0.1
# The types that find no words of their own.
WORDLESS = frozenset({"facts", "devtools"})


class Configured(msgspec.Struct, frozen=True, kw_only=True):
    """One provider of the configuration, validated but not built.

    Attributes:
        missing: what keeps it from being asked, for example its key; empty when nothing does.
    """

    name: str
    type: str
    selectable: bool
    provider: Provider[Any]
    settings: object
    resilience: ResilienceSettings
    api_key: str | None
    missing: str = ""

    def __repr__(self) -> str:
        return shown(self, "api_key", "settings")

    def identity(self) -> bytes:
        """The same for providers that would answer alike; names and limits do not count."""
        # What a plugin's settings hold may be anything; a text with an address in it is merely never the same again.
        said = to_json((self.type, self.settings, self.api_key), fallback=repr)
        return blake2b(said, digest_size=32).digest()


class RulesRead(msgspec.Struct, frozen=True):
    """The compiled rules, and what is odd about them."""

    rules: RuleSet
    warnings: tuple[str, ...]


def read_providers(loaded: Loaded) -> tuple[Configured, ...]:
    """Every provider of the configuration.

    Raises:
        ConfigError: with every mistake, at file and line.
    """
    found: list[Configured] = []
    mistakes: list[tuple[str, str]] = []
    types = {entry.name: entry for entry in entry_points(group=GROUP)}
    for index, entry in enumerate(loaded.settings.llm_providers):
        path = f"llm_providers[{index}]"
        if entry.type not in types:
            mistakes.append((f"{path}.type", f"{entry.type!r} is no provider type; {choice(entry.type, types)}"))
            continue
        try:
            provider: Provider[Any] = types[entry.type].load()
        except Exception as error:  # noqa: BLE001 - whatever a plugin does while it is imported
            mistakes.append((f"{path}.type", _broken(types[entry.type], error)))
            continue
        ours = {key: value for key, value in entry.config.items() if key in RESILIENCE_KEYS}
        own = {key: value for key, value in entry.config.items() if key not in RESILIENCE_KEYS}
        resilience = _validated(ResilienceSettings, ours, f"{path}.config", mistakes, ())
        settings = _validated(provider.Settings, own, f"{path}.config", mistakes, RESILIENCE_KEYS)
        if resilience is None or settings is None:
            continue
        where = _secret_of(settings)
        try:
            api_key = loaded.environment.secret({**entry.config, **where})
        except ConfigError as error:
            mistakes.append((f"{path}.config", error.message))
            continue
        found.append(
            Configured(
                name=entry.name,
                type=entry.type,
                selectable=entry.selectable,
                provider=provider,
                settings=settings,
                resilience=resilience,
                api_key=api_key,
                missing=_missing(provider, settings, api_key, where),
            )
        )
    if mistakes:
        raise loaded.origins.error(mistakes)
    return tuple(found)


def _broken(entry: EntryPoint, error: Exception) -> str:
    package = f" of the package {entry.dist.name}" if entry.dist is not None else ""
    why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return f"{entry.value}{package} cannot be imported ({why}); repair or reinstall it, or leave the provider out"


def _secret_of(settings: object) -> dict[str, str]:
    """Where the key is said to be, the defaults of the provider's own settings included."""
    named = {key: getattr(settings, key, None) for key in ("api_key_env", "api_key_file")}
    return {key: value for key, value in named.items() if isinstance(value, str)}


def _missing(provider: Provider[Any], settings: object, api_key: str | None, where: Mapping[str, str]) -> str:
    lacking = provider.missing(settings) if isinstance(provider, Lacking) else ""
    if lacking:
        return f"not configured: {lacking}"
    # Whoever says where a key is means that there should be one.
    if api_key is not None or not (provider.needs_key or where):
        return ""
    variable, file = where.get("api_key_env"), where.get("api_key_file")
    if file:
        return f"not configured: the file {file} of api_key_file is empty"
    return f"not configured: set the variable {variable}" if variable else "not configured: set api_key_env or api_key_file"


def _validated(kind: type[T], values: Mapping[str, object], path: str, mistakes: list[tuple[str, str]], also: Iterable[str]) -> T | None:
    try:
        return TypeAdapter(kind).validate_python(dict(values))
    except ValidationError as error:
        for detail in error.errors(include_url=False, include_context=False, include_input=False):
            where = ".".join(str(part) for part in detail["loc"])
            known = (*getattr(kind, "model_fields", ()), *also)
            text = unknown_key(where, known) if detail["type"] == "extra_forbidden" else detail["msg"]
            mistakes.append((f"{path}.{where}" if where else path, text))
        return None


def read_rules(loaded: Loaded, providers: Sequence[Configured]) -> RulesRead:
    """The routing rules, compiled.

    Raises:
        ConfigError: with every mistake, at file and line.
    """
    known = Known(
        providers={provider.name for provider in providers},
        configured={provider.name for provider in providers if not provider.missing},
        selectable={provider.name for provider in providers if provider.selectable},
        is_entitlement=is_entitlement,
    )
    rules, complaints = compile_rules(loaded.settings.routing_rules, known)
    told = [(("routing_rules", *complaint.path), complaint.text, complaint.fatal) for complaint in complaints]
    fatal = [(path, text) for path, text, is_fatal in told if is_fatal]
    if fatal:
        raise loaded.origins.error(fatal)
    return RulesRead(rules, tuple(loaded.origins.mistake(path, text) for path, text, _ in told))


class Built(msgspec.Struct, frozen=True, kw_only=True):
    """A provider ready to be asked. `tools` and the configured one are kept for checks of reachability.

    Attributes:
        target: what is asked; `resilient` is the same where it is configured, `model` what stands inside of that.
        vectors: its embedding model as its server calls it, and what is asked for it; None where it has none.
    """

    configured: Configured
    target: Target
    resilient: ResilientTarget | None
    tools: ProviderTools
    model: Target | None = None
    vectors: tuple[str, ResilientEmbeddings] | None = None

    def info(self) -> TargetInfo:
        """Its state and limits."""
        limits = self.configured.resilience
        return TargetInfo(
            name=self.configured.name,
            state="not_configured" if self.resilient is None else self.resilient.breaker_state,
            timeout_ms=limits.timeout_ms,
            first_token_timeout_ms=limits.first_token_timeout_ms,
            idle_timeout_ms=limits.idle_timeout_ms,
            attempts=limits.retry.attempts,
            max_concurrent=limits.max_concurrent,
            max_queue=limits.max_queue,
            queue_timeout_ms=limits.queue_timeout_ms,
            writes=self.configured.type not in WORDLESS,
        )

    async def retire(self, quiet: Callable[[], bool]) -> None:
        """Close it once `quiet` says that nobody is left who may ask it, be it as a fallback or once more."""
        while True:
            await asyncio.sleep(LOOK_S)
            if quiet():
                break
        await self.aclose()

    async def aclose(self) -> None:
        """Close what its target holds, such as a process of its own."""
        if isinstance(self.model, Closing):
            await self.model.aclose()

    async def check(self) -> tuple[Finding, ...]:
        """What keeps it from answering, asked at the provider itself."""
        return await self.configured.provider.check(self.configured.name, self.configured.settings, self.tools)


def build(configured: Configured, tools: ProviderTools, clock: Clock, observer: Observer) -> Built:
    """The provider's target with everything around it that makes it resilient."""
    vectors = _vectors(configured, tools, clock, observer)
    if configured.missing:
        target = Unconfigured(configured.name, configured.missing)
        return Built(configured=configured, target=target, resilient=None, tools=tools, vectors=vectors)
    model = configured.provider.build(configured.name, configured.settings, tools)
    wrapped = resilient(configured.name, model, configured.resilience, clock, observer)
    return Built(configured=configured, target=wrapped, resilient=wrapped, tools=tools, model=model, vectors=vectors)


def _vectors(configured: Configured, tools: ProviderTools, clock: Clock, observer: Observer) -> tuple[str, ResilientEmbeddings] | None:
    if not isinstance(configured.provider, Embedding):
        return None
    found = configured.provider.embeddings(configured.name, configured.settings, tools)
    if found is None:
        return None
    target = UnconfiguredEmbeddings(configured.name, configured.missing) if configured.missing else found.target
    return found.model, ResilientEmbeddings(configured.name, target, configured.resilience, clock, observer)


class TargetTable:
    """Implements the port Targets.

    Args:
        answers: kept for equal questions; they may come from an earlier table, and are given only where the providers are the same.
    """

    def __init__(self, built: Iterable[Built], clock: Clock, answers: Answers | None = None) -> None:
        self._answers = answers
        self.built = tuple(built)
        self._by_name = {one.configured.name: one.target for one in self.built}
        self._selectable = frozenset(one.configured.name for one in self.built if one.configured.selectable)
        self._clock = clock
        self._chains: dict[tuple[str, ...], Chain] = {}

    def chain(self, names: tuple[str, ...]) -> Chain:
        """See the port Targets."""
        known = self._chains.get(names)
        if known is None:
            unknown = [name for name in names if name not in self._by_name]
            if unknown or not names:
                raise UnknownModel("No provider of that name is configured.", provider=unknown[0] if unknown else "")
            fallback = Fallback([(name, self._by_name[name]) for name in names], self._clock)
            known = self._chains[names] = fallback if self._answers is None else self._cached(names, fallback, self._answers)
        return known

    def _cached(self, names: tuple[str, ...], fallback: Fallback, answers: Answers) -> Cache:
        by_name = {one.configured.name: one.configured for one in self.built}
        identity = blake2b(b"".join(name.encode() + b"\0" + by_name[name].identity() for name in names), digest_size=32).digest()
        first = next((name for name in names if not by_name[name].missing), names[0])
        return Cache(fallback, answers, identity, first)

    def describe(self, names: tuple[str, ...]) -> tuple[TargetInfo, ...]:
        """See the port Targets."""
        self.chain(names)
        by_name = {one.configured.name: one for one in self.built}
        return tuple(by_name[name].info() for name in names)

    def selectable(self) -> frozenset[str]:
        """See the port Targets."""
        return self._selectable
