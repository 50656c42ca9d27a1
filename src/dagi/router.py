"""THE REQUEST PATH: grant, rule, admission, target, reply, record. Read `Router.tell` and what it calls."""

import asyncio
from collections.abc import Callable, Mapping
from itertools import count
from secrets import token_hex
from types import TracebackType

import msgspec

from dagi.access.decide import decide, needed
from dagi.errors import DagiError, Denied, Internal
from dagi.message import Grant, Message
from dagi.ports.audit import Denial, Denials
from dagi.ports.clock import Clock
from dagi.ports.dialogs import Dialogs, Exchange
from dagi.ports.embeddings import Batch, Embedded, EmbeddingTargets
from dagi.ports.grounding import Grounding
from dagi.ports.hearing import Overheard, gathered
from dagi.ports.limits import Limits as Allowances
from dagi.ports.members import Members
from dagi.ports.observer import Observer
from dagi.ports.target import Chain, Ear, TargetInfo, Targets
from dagi.rules.rule import EVERYTHING, NOTHING, Wanted
from dagi.rules.ruleset import RuleSet, Verdict
from dagi.rules.shares import Share


class Policy(msgspec.Struct, frozen=True):
    """Rules and targets that belong together; swapped as one."""

    rules: RuleSet
    targets: Targets
    embeddings: EmbeddingTargets


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What the router needs from the world."""

    members: Members
    grounding: Grounding
    dialogs: Dialogs
    limits: Allowances
    denials: Denials
    observer: Observer
    clock: Clock


class Router:
    """Answers messages. `policy` may be replaced at any time: a request keeps the one it began with."""

    def __init__(self, policy: Policy, ports: Ports) -> None:
        self.policy = policy
        self.ports = ports
        # A decision's id is this process's own number before a count.
        self._era = token_hex(4)
        self._decisions = count(1)
        self._under_way: set[Exchange] = set()

    def exchange(self, message: Message) -> Exchange:
        """The account of a new request."""
        return Exchange(message, at=self.ports.clock.now(), started=self.ports.clock.monotonic())

    async def tell(self, exchange: Exchange, ear: Ear, wanted: Wanted = EVERYTHING) -> None:
        """Answer the exchange's message for a caller who hears it while it is made, and write down what happens.

        Args:
            exchange: from `exchange()`; it hears everything first, and is complete when this returns.
            wanted: what to add to the message where the rule does not say.

        Raises:
            DagiError: the request was refused, no target answered, or an answer broke off of which a piece has been heard.
        """
        with _Account(exchange, self.ports, self._under_way):
            asked = await self._admitted(exchange, wanted)
            await asked.chain.tell(asked.message, asked.grant, Overheard(ear, exchange.hear, exchange.forget))

    async def answer(self, exchange: Exchange, wanted: Wanted = EVERYTHING) -> None:
        """The same for a caller who sees nothing before the end: the answer is in the exchange afterwards.

        Raises:
            DagiError: the request was refused, or no target answered.
        """
        with _Account(exchange, self.ports, self._under_way):
            asked = await self._admitted(exchange, wanted)
            for event in await gathered(asked.chain.tell, asked.message, asked.grant, exchange.hear):
                exchange.hear(event)

    async def embed(self, exchange: Exchange, batch: Batch, model: str) -> Embedded:
        """The vectors of texts: no rule has a say about who makes them, the caller names the model; all else is as in `tell`.

        Raises:
            DagiError: the request was refused, or the model did not answer.
        """
        with _Account(exchange, self.ports, self._under_way):
            exchange.grant = grant = self.grant(batch)
            grant.require(needed(batch))
            exchange.allowance = await self.ports.limits.admit(batch.sender)
            exchange.allowance.require()
            target = self.policy.embeddings.find(model)
            exchange.chain = (target.provider,)
            exchange.timings_ms["access"] = self._ms(exchange)
            return await target.embed(batch, grant, exchange.hear)

    async def _admitted(self, exchange: Exchange, wanted: Wanted) -> "_Asked":
        policy, message = self.policy, exchange.message
        exchange.grant = grant = self.grant(message)
        _admit(grant, message)
        rule = policy.rules.choose(message, grant)
        exchange.rule = rule.name
        grant.require(rule.requires or needed(message))
        exchange.allowance = await self.ports.limits.admit(message.sender)
        exchange.allowance.require()
        exchange.chain = rule.chain(message, policy.targets.selectable())
        chain = policy.targets.chain(exchange.chain)
        exchange.timings_ms["access"] = self._ms(exchange)
        message = await self._grounded(rule.shaped(message, self.ports.clock.monotonic), grant, rule.wanted or wanted)
        return _Asked(chain, message, grant)

    def quiet(self) -> Callable[[], bool]:
        """A question to ask later: whether every request that is under way now, and may still ask a target of `policy`, has ended."""
        earlier = frozenset(self._under_way)
        return lambda: earlier.isdisjoint(self._under_way)

    def grant(self, message: Message) -> Grant:
        """What the sender may do, decided anew."""
        standing = self.ports.members.standing(message.sender.dao_id, message.sender.user_id)
        return decide(message.sender, standing, self.ports.clock.now(), f"{self._era}{next(self._decisions):08x}")

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
            explanation.shares, explanation.cache_ttl_s = rule.shares, rule.reuse_s
            explanation.parameters = rule.parameters.values if rule.parameters is not None else {}
            explanation.targets = policy.targets.describe(rule.chain(message, policy.targets.selectable()))
            grant.require(explanation.requires)
        except DagiError as error:
            explanation.refusal = error
        return explanation

    async def _grounded(self, message: Message, grant: Grant, wanted: Wanted) -> Message:
        if not wanted.anything:
            return message
        deadline = message.limits.deadline
        if deadline is None:
            return await self.ports.grounding.add(message, grant, wanted)
        try:
            # Not wait_for, which in Python 3.11 loses a cancellation that comes in the moment the work ends.
            async with asyncio.timeout(deadline - self.ports.clock.monotonic()):
                return await self.ports.grounding.add(message, grant, wanted)
        except TimeoutError:
            return message

    def _ms(self, exchange: Exchange) -> float:
        return (self.ports.clock.monotonic() - exchange.started) * 1000


class Explanation(msgspec.Struct, kw_only=True):
    """Why a message would go where it would go.

    Attributes:
        targets: who would be asked, in order, each with its state and its own limits.
        timeout_ms: the rule's, in place of the targets' own; None leaves theirs.
        shares: who shares the rule's conversations; the first of the targets is the one this conversation falls to.
        parameters: the rule's, for the model.
        cache_ttl_s: for how long the answer would be given again; None for never.
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
    shares: tuple[Share, ...] = ()
    parameters: Mapping[str, object] = {}
    cache_ttl_s: float | None = None
    refusal: DagiError | None = None


def _admit(grant: Grant, message: Message) -> None:
    """Whoever may do nothing at all learns nothing of the rules, and so not whether the DAO exists."""
    if not grant.entitlements:
        grant.require(needed(message))


class _Asked(msgspec.Struct, frozen=True):
    """Who is asked what, on whose behalf."""

    chain: Chain
    message: Message
    grant: Grant


class _Account:
    """Writes into the exchange how it ended, how long it took and what it used, has it recorded, and tells the observer, come what may."""

    def __init__(self, exchange: Exchange, ports: Ports, under_way: set[Exchange]) -> None:
        self._exchange = exchange
        self._ports = ports
        self._under_way = under_way
        self._recording = ports.dialogs.recording(exchange)

    def __enter__(self) -> None:
        try:
            self._recording.__enter__()
        except DagiError as error:
            self._close(error)
            raise
        self._under_way.add(self._exchange)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._under_way.discard(self._exchange)
        self._settle(error)
        try:
            self._recording.__exit__(kind, error, trace)
        finally:
            self._ports.observer.finished(self._exchange)
            if isinstance(error, Denied) and not error.audited:
                sender = self._exchange.message.sender
                self._ports.denials.denied(Denial.of(error, sender, self._exchange.message.id, sender.key_id))

    def _close(self, error: DagiError) -> None:
        self._settle(error)
        self._ports.observer.finished(self._exchange)

    def _settle(self, error: BaseException | None) -> None:
        exchange = self._exchange
        exchange.timings_ms["total"] = (self._ports.clock.monotonic() - exchange.started) * 1000
        if isinstance(error, DagiError):
            exchange.failed(error)
        elif isinstance(error, Exception):
            exchange.failed(Internal("An internal error occurred."))
        if exchange.admitted and exchange.charge is None:
            self._ports.limits.settle(exchange)


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000
