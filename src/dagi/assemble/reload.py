"""A new configuration for a running stack: read, checked as a whole, and put in force in one moment, or not at all."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from dagi.assemble.embedding import EmbeddingTable
from dagi.assemble.installation import Installation, refuse_unsafe, write_private
from dagi.assemble.outside import read_outside
from dagi.assemble.providers import Built, Configured, TargetTable, build, read_providers, read_rules
from dagi.config import as_data
from dagi.config.differing import differences
from dagi.errors import ConfigError
from dagi.ports.clock import Clock
from dagi.ports.embeddings import EmbeddingTarget
from dagi.ports.observer import Observer
from dagi.ports.provider import ProviderTools
from dagi.router import Policy
from dagi.rules.ruleset import RuleSet
from dagi.targets.resilience.answers import Answers

WATCH_S = 1.0
# How long the end waits for providers that a reload has taken away to be closed.
CLOSE_S = 1.0


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one reload, as `run/reload.json` tells it.

    Attributes:
        number: counts the reloads of the process, so that whoever asked for one knows its answer.
        changed: keys that are in force now; restart: keys that are not before the next start.
        message: why it was refused.
    """

    number: int
    at: datetime
    outcome: Literal["reloaded", "unchanged", "refused"]
    changed: list[str] = []
    restart: list[str] = []
    warnings: list[str] = []
    message: str = ""


class Fresh(msgspec.Struct, frozen=True):
    """A configuration that was read and found good."""

    installation: Installation
    configured: tuple[Configured, ...]
    rules: RuleSet
    warnings: tuple[str, ...]


def read_fresh(installation: Installation) -> Fresh:
    """Read everything that an installation was made from once more.

    Raises:
        ConfigError: it cannot be used.
    """
    fresh = Installation.read(installation.choice)
    refuse_unsafe(fresh.loaded)
    configured = read_providers(fresh.loaded)
    rules = read_rules(fresh.loaded, configured)
    read_outside(fresh.loaded)
    return Fresh(fresh, configured, rules.rules, (*fresh.loaded.warnings, *rules.warnings))


class Live:
    """The providers and rules in force, replaced as one.

    Attributes:
        renewed: the providers that the last replacement has built anew, because something about them was another thing before.

    Args:
        tools: what a provider may use of the world.
        answers: kept for equal questions, whatever is replaced.
        local: embedding models of our own, by name.
    """

    def __init__(
        self,
        fresh: Fresh,
        clock: Clock,
        observer: Observer,
        tools: Callable[[Configured], ProviderTools],
        answers: Answers,
        local: Mapping[str, EmbeddingTarget],
    ) -> None:
        self.built: tuple[Built, ...] = ()
        self.renewed: tuple[str, ...] = ()
        self._clock = clock
        self._observer = observer
        self._tools = tools
        self._answers = answers
        self._local = local
        self._leaving: set[asyncio.Task[None]] = set()
        self.policy = self.replaced(fresh)

    def replaced(self, fresh: Fresh, quiet: Callable[[], bool] = lambda: True) -> Policy:
        """Put a configuration in force. Providers of which nothing has changed keep their queues and all they have learnt.

        Args:
            quiet: whether all requests of the policy before have ended; only then the providers that left it are closed.
        """
        before = {one.configured.name: one for one in self.built}
        self.built = tuple(self._kept_or_built(configured, before.get(configured.name)) for configured in fresh.configured)
        self.renewed = tuple(one.configured.name for one in self.built if before.get(one.configured.name, one) is not one)
        for one in before.values():
            if one not in self.built:
                task = asyncio.create_task(one.retire(quiet), name=f"retire {one.configured.name}")
                self._leaving.add(task)
                task.add_done_callback(self._leaving.discard)
        targets = TargetTable(self.built, self._clock, self._answers)
        self.policy = Policy(fresh.rules, targets, EmbeddingTable(self.built, self._local))
        return self.policy

    def _kept_or_built(self, configured: Configured, before: Built | None) -> Built:
        if before is not None and before.configured == configured:
            return before
        return build(configured, self._tools(configured), self._clock, self._observer)

    async def aclose(self) -> None:
        """Close what providers hold; no request is under way any more."""
        if self._leaving:
            await asyncio.wait(self._leaving, timeout=CLOSE_S)
        for one in self.built:
            await one.aclose()


class Reloader:
    """Puts the configuration in force anew whenever it is told to. Being told several times at once is being told once.

    Args:
        apply: puts a good configuration in force, and tells the providers that are built anew; must not raise.
    """

    def __init__(
        self,
        installation: Installation,
        apply: Callable[[Fresh], Awaitable[Sequence[str]]],
        now: Callable[[], datetime],
        observer: Observer,
    ) -> None:
        self.installation = installation
        self._apply = apply
        self._now = now
        self._observer = observer
        self._wanted = asyncio.Event()
        self._number = 0

    def ask(self) -> None:
        """Reload as soon as possible."""
        self._wanted.set()

    async def follow(self) -> None:
        """Reload for ever, each time somebody asks."""
        self._tell_in_force()
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            outcome = await self._reload()
            self._tell_in_force()
            self._write("reload.json", msgspec.json.encode(outcome))

    async def watch(self) -> None:
        """Ask for a reload whenever one of the files has changed."""
        seen = _stamps(self.installation.loaded.files)
        while True:
            await asyncio.sleep(WATCH_S)
            found = _stamps(self.installation.loaded.files)
            if found != seen:
                seen = found
                self.ask()

    async def _reload(self) -> Outcome:
        self._number += 1
        number, at = self._number, self._now()
        try:
            # Reading takes tens of milliseconds; requests go on meanwhile.
            fresh = await asyncio.to_thread(read_fresh, self.installation)
        except ConfigError as error:
            self._observer.note("config_refused", level="error", why=error.message)
            return Outcome(number=number, at=at, outcome="refused", message=error.message)
        changes = differences(as_data(self.installation.loaded), as_data(fresh.installation.loaded))
        changed = [change.key for change in changes if not change.restart]
        restart = [change.key for change in changes if change.restart]
        renewed = await self._apply(fresh)
        # A configuration shows no secrets, so two that differ in nothing else look alike.
        shown = tuple(changed)
        changed += [f"llm_providers[{name}], its secret" for name in renewed if not any(f"[{name}]" in key for key in shown)]
        self.installation = _partly(self.installation, fresh.installation)
        for warning in fresh.warnings:
            self._observer.note("config_warning", level="warning", what=warning)
        if restart:
            self._observer.note("config_needs_restart", level="warning", keys=restart)
        self._observer.note("config_reloaded", changed=changed, rules=len(fresh.rules.rules), providers=len(fresh.configured))
        kind = "reloaded" if changed else "unchanged"
        return Outcome(number=number, at=at, outcome=kind, changed=changed, restart=restart, warnings=list(fresh.warnings))

    def _tell_in_force(self) -> None:
        self._write("config.json", msgspec.json.encode(as_data(self.installation.loaded)))

    def _write(self, name: str, content: bytes) -> None:
        try:
            write_private(self.installation.data_dir / "run" / name, content)
        except OSError as error:
            # Those who look at the file learn nothing; the configuration is in force all the same.
            self._observer.note("run_file_unwritten", level="warning", file=name, why=error.strerror or type(error).__name__)


def _partly(old: Installation, new: Installation) -> Installation:
    """What is in force after a reload: the new rules, providers, limits and prices, the rest as it was at the start."""
    was, now = old.loaded.settings, new.loaded.settings
    limits = was.limits.model_copy(update={"key": now.limits.key, "user": now.limits.user, "dao": now.limits.dao})
    settings = was.model_copy(
        update={"llm_providers": now.llm_providers, "routing_rules": now.routing_rules, "limits": limits, "prices": now.prices}
    )
    loaded = msgspec.structs.replace(new.loaded, settings=settings)
    return msgspec.structs.replace(old, loaded=loaded)


def _stamps(files: tuple[Path, ...]) -> list[tuple[int, int, int] | None]:
    found: list[tuple[int, int, int] | None] = []
    for file in files:
        try:
            status = file.stat()
        except OSError:
            found.append(None)
        else:
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
    return found
