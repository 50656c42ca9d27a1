"""A provider with everything around it: retry(breaker(queue(timeout(model))))."""

from collections.abc import AsyncGenerator, Awaitable

from dagi.message import Grant, Message
from dagi.ports.clock import Clock
from dagi.ports.observer import Observer
from dagi.ports.target import Ear, Event, Target
from dagi.targets.resilience.breaker import Breaker, BreakerState, Fuse
from dagi.targets.resilience.queue import Places, Queue
from dagi.targets.resilience.retry import Retry, Tries
from dagi.targets.resilience.settings import ResilienceSettings
from dagi.targets.resilience.timeout import Patience, Timeout


class ResilientTarget:
    """A target with retry, breaker, queue and timeout around it, and what the operator wants to see of them."""

    def __init__(self, name: str, queue: Queue, breaker: Breaker, retry: Retry) -> None:
        self.name = name
        self._queue = queue
        self._breaker = breaker
        self._retry = retry

    def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`."""
        return self._retry.open(message, grant)

    def tell(self, message: Message, grant: Grant, ear: Ear) -> Awaitable[None]:
        """See `dagi.ports.target.Telling.tell`."""
        return self._retry.tell(message, grant, ear)

    @property
    def overloaded(self) -> bool:
        """Whether so much waits that nobody waits for long any more."""
        return self._queue.overloaded

    @property
    def breaker_state(self) -> BreakerState:
        """`closed`, `open` or `half_open`."""
        return self._breaker.state

    @property
    def waiting(self) -> int:
        """How many requests wait for the provider now."""
        return self._queue.waiting

    @property
    def active(self) -> int:
        """How many requests it answers now."""
        return self._queue.active


def resilient(name: str, target: Target, settings: ResilienceSettings, clock: Clock, observer: Observer) -> ResilientTarget:
    """Put everything around a target that its configuration asks for."""
    total_s = settings.timeout_ms / 1000
    patience = Patience(total_s=total_s, first_s=_seconds(settings.first_token_timeout_ms), idle_s=_seconds(settings.idle_timeout_ms))
    places = Places(
        active=settings.max_concurrent, waiting=settings.max_queue, wait_s=settings.queue_timeout_ms / 1000, weights=settings.role_weights
    )
    fuse = Fuse(failures=settings.breaker.failures, open_s=settings.breaker.open_s)
    tries = Tries(attempts=settings.retry.attempts, delay_s=settings.retry.delay_s, total_s=total_s)
    queue = Queue(name, Timeout(name, target, patience, clock), places, clock)
    breaker = Breaker(name, queue, fuse, clock, observer)
    return ResilientTarget(name, queue, breaker, Retry(name, breaker, tries, clock))


def _seconds(ms: int | None) -> float | None:
    return None if ms is None else ms / 1000
