"""THE REQUEST PATH: grant, rule, admission, target, reply, record. Read `Router.open` from top to bottom."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from secrets import token_hex

import msgspec

from dagi.access.decide import decide, needed
from dagi.errors import DagiError, Internal
from dagi.message import Grant, Limits, Message
from dagi.ports.clock import Clock
from dagi.ports.dialogs import Dialogs, Exchange
from dagi.ports.grounding import Grounding
from dagi.ports.members import Members
from dagi.ports.observer import Observer
from dagi.ports.target import Event, TargetInfo, Targets
from dagi.rules.rule import EVERYTHING, NOTHING, Rule, Wanted
from dagi.rules.ruleset import RuleSet, Verdict


class Policy(msgspec.Struct, frozen=True):
    """Rules and targets that belong together; swapped as one."""

    rules: RuleSet
    targets: Targets


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What the router needs from the world."""

    members: Members
    grounding: Grounding
    dialogs: Dialogs
    observer: Observer
    clock: Clock


class Router:
    """Answers messages. `policy` may be replaced at any time: a request keeps the one it began with."""

    def __init__(self, policy: Policy, ports: Ports) -> None:
        self.policy = policy
        self.ports = ports

    def exchange(self, message: Message) -> Exchange:
        """The account of a new request."""
        return Exchange(message, at=self.ports.clock.now(), started=self.ports.clock.monotonic())

    async def open(self, exchange: Exchange, wanted: Wanted = EVERYTHING) -> AsyncGenerator[Event]:
        """Answer the exchange's message as a stream of events, and write down what happens.

        Args:
            exchange: from `exchange()`; complete when the stream is over.
            wanted: what to add to the message where the rule does not say.

        Raises:
            DagiError: the request was refused, or no target answered; nothing of an answer has been yielded then.
        """
        policy, message = self.policy, exchange.message
        with _Observed(exchange, self.ports), self.ports.dialogs.recording(exchange), _Settled(exchange, self.ports.clock):
            exchange.grant = grant = self.grant(message)
            _admit(grant, message)
            rule = policy.rules.choose(message, grant)
            exchange.rule = rule.name
            grant.require(rule.requires or needed(message))
            chain = policy.targets.chain(rule.chain(message, policy.targets.selectable()))
            exchange.timings_ms["access"] = self._ms(exchange)
            message = await self._grounded(self._limited(message, rule), grant, rule.wanted or wanted)
            async with aclosing(chain.open(message, grant)) as answer:
                async for event in answer:
                    exchange.hear(event)
                    yield event

    def grant(self, message: Message) -> Grant:
        """What the sender may do, decided anew."""
        standing = self.ports.members.standing(message.sender.dao_id, message.sender.user_id)
        return decide(message.sender, standing, self.ports.clock.now(), token_hex(8))

    def explain(self, message: Message, wanted: Wanted = EVERYTHING) -> "Explanation":
        """What would happen to the message, without calling a target."""
        policy, grant = self.policy, self.grant(message)
        explanation = Explanation(grant=grant)
        try:
            _admit(grant, message)
            explanation.rules = tuple(policy.rules.explain(message, grant))
            rule = policy.rules.choose(message, grant)
            explanation.rule = rule.name
            explanation.requires = rule.requires or needed(message)
            explanation.timeout_ms, explanation.deadline_ms = _in_ms(rule.timeout_s), _in_ms(rule.deadline_s)
            explanation.context = rule.wanted or wanted
            explanation.targets = policy.targets.describe(rule.chain(message, policy.targets.selectable()))
            grant.require(explanation.requires)
        except DagiError as error:
            explanation.refusal = error
        return explanation

    async def _grounded(self, message: Message, grant: Grant, wanted: Wanted) -> Message:
        deadline = message.limits.deadline
        if deadline is None or not wanted.anything:
            return await self.ports.grounding.add(message, grant, wanted)
        try:
            return await asyncio.wait_for(self.ports.grounding.add(message, grant, wanted), deadline - self.ports.clock.monotonic())
        except TimeoutError:
            return message

    def _limited(self, message: Message, rule: Rule) -> Message:
        if rule.timeout_s is None and rule.deadline_s is None:
            return message
        deadline = None if rule.deadline_s is None else self.ports.clock.monotonic() + rule.deadline_s
        return msgspec.structs.replace(message, limits=Limits(timeout_s=rule.timeout_s, deadline=deadline))

    def _ms(self, exchange: Exchange) -> float:
        return (self.ports.clock.monotonic() - exchange.started) * 1000


class Explanation(msgspec.Struct, kw_only=True):
    """Why a message would go where it would go.

    Attributes:
        targets: who would be asked, in order, each with its state and its own limits.
        timeout_ms: the rule's, in place of the targets' own; None leaves theirs.
        refusal: the error the request would end with before any target is asked; None when it would go through.
    """

    grant: Grant
    rules: tuple[Verdict, ...] = ()
    rule: str | None = None
    requires: str | None = None
    targets: tuple[TargetInfo, ...] = ()
    timeout_ms: float | None = None
    deadline_ms: float | None = None
    context: Wanted = NOTHING
    refusal: DagiError | None = None


def _admit(grant: Grant, message: Message) -> None:
    """Whoever may do nothing at all learns nothing of the rules, and so not whether the DAO exists."""
    if not grant.entitlements:
        grant.require(needed(message))


class _Settled:
    """Writes into the exchange how it ended, and how long it took."""

    def __init__(self, exchange: Exchange, clock: Clock) -> None:
        self._exchange = exchange
        self._clock = clock

    def __enter__(self) -> None:
        return None

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        exchange = self._exchange
        exchange.timings_ms["total"] = (self._clock.monotonic() - exchange.started) * 1000
        if isinstance(error, DagiError):
            exchange.failed(error)
        elif isinstance(error, Exception):
            exchange.failed(Internal("An internal error occurred."))


class _Observed(_Settled):
    """The same, and tells the observer; the outermost, so that it also hears of what could not even be recorded."""

    def __init__(self, exchange: Exchange, ports: Ports) -> None:
        super().__init__(exchange, ports.clock)
        self._observer = ports.observer

    def __exit__(self, _type: object, error: BaseException | None, _trace: object) -> None:
        super().__exit__(_type, error, _trace)
        self._observer.finished(self._exchange)


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
