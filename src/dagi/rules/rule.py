"""What a routing rule is once it is compiled."""

from collections.abc import Callable, Hashable

import msgspec

from dagi.errors import Invalid, UnknownModel
from dagi.message import Grant, Limits, Message
from dagi.rules.parameters import Parameters
from dagi.rules.shares import Share, chosen

Test = Callable[[Message, Grant], bool]
# A condition in a form that can be compared: its key, and the values any of which satisfies it (or a number of tokens).
Meaning = tuple[str, frozenset[Hashable] | int]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule asks the router to add to the message."""

    facts: bool = False
    roles: bool = False
    history: bool = False

    @property
    def anything(self) -> bool:
        """Whether there is anything to add."""
        return self.facts or self.roles or self.history


EVERYTHING = Wanted(facts=True, roles=True, history=True)
NOTHING = Wanted()


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """One condition of a rule.

    Attributes:
        key: its name in the configuration.
        text: how it is shown in an explanation.
        test: whether it holds for a message and a grant.
        wanted: what it asks for: values any of which satisfies it, with their types, so that `true` is not the text "True"; the
            branches of `any`, the parts of `not`; or a number of tokens.
        branches: for `any`, its branches, one of which has to hold as a whole; for `not`, the one that must not.
        always: what it is for every message, where the configuration alone decides; None for all others.
    """

    key: str
    text: str
    test: Test
    wanted: frozenset[Hashable] | int
    branches: tuple[tuple["Condition", ...], ...] = ()
    always: bool | None = None

    @property
    def meaning(self) -> Meaning:
        """Equal for conditions that hold for the same messages, whatever they look like."""
        return (self.key, self.wanted)


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule: when all its conditions hold, these targets are asked in this order.

    Attributes:
        providers: the first target and its fallbacks; without the caller's wish when `by_wish`, and the fallbacks alone with `shares`.
        shares: providers that share the conversations; one of them comes first.
        by_wish: the caller's `metadata.provider` comes first (`use_metadata: provider`).
        timeout_s: for each target; None leaves the target's own.
        deadline_s: for the whole request; None for no end.
        requires: the entitlement needed; None lets the mode decide.
        wanted: what to add to the message; None lets the face decide.
        parameters: for the model, over its provider's own and under the caller's.
        reuse_s: for how many seconds an answer may be given again to the same question; None for never.
    """

    name: str
    priority: int
    conditions: tuple[Condition, ...]
    providers: tuple[str, ...]
    by_wish: bool = False
    timeout_s: float | None = None
    deadline_s: float | None = None
    requires: str | None = None
    wanted: Wanted | None = None
    shares: tuple[Share, ...] = ()
    parameters: Parameters | None = None
    reuse_s: float | None = None

    def matches(self, message: Message, grant: Grant) -> bool:
        """Whether every condition holds."""
        return all(condition.test(message, grant) for condition in self.conditions)

    def chain(self, message: Message, selectable: frozenset[str]) -> tuple[str, ...]:
        """The names of the targets to ask, in order. Who insists on a provider gets that one or none where the rule follows no wishes.

        Raises:
            UnknownModel: the caller wishes for a provider it may not choose.
            Invalid: the rule follows the caller's wish, and there is neither a wish nor a fallback.
        """
        wish = message.provider
        if message.insists and wish is not None and not self.by_wish:
            return (_selected(wish, selectable),)
        if self.shares:
            first = chosen(self.name, self.shares, message.sender)
            return (first, *(name for name in self.providers if name != first))
        if not self.by_wish:
            return self.providers
        if wish is None:
            if not self.providers:
                raise Invalid(f"The rule {self.name} needs metadata.provider.", field="metadata.provider", allowed=sorted(selectable))
            return self.providers
        first = _selected(wish, selectable)
        return (first, *(name for name in self.providers if name != first))

    def shaped(self, message: Message, now: Callable[[], float]) -> Message:
        """The message with the rule's limits, model parameters and reuse; `now` reads the monotonic clock.

        Raises:
            Invalid: the caller's own parameters are no JSON object.
        """
        if self.timeout_s is None and self.deadline_s is None and self.parameters is None and self.reuse_s is None:
            return message
        deadline = None if self.deadline_s is None else now() + self.deadline_s
        return msgspec.structs.replace(
            message,
            limits=Limits(timeout_s=self.timeout_s, deadline=deadline),
            options=message.options if self.parameters is None else self.parameters.under(message.options),
            ruled={} if self.parameters is None else self.parameters.values,
            reuse_s=self.reuse_s,
        )


def _selected(wish: str, selectable: frozenset[str]) -> str:
    if wish not in selectable:
        raise UnknownModel("That provider cannot be chosen here.", provider=wish[:64], allowed=sorted(selectable))
    return wish


class Complaint(msgspec.Struct, frozen=True):
    """A mistake in the configuration of the rules.

    Attributes:
        path: where: the rule's index, then the keys inside it.
        text: what is wrong and what to write.
        fatal: whether the configuration cannot be used like this; otherwise it is a warning.
    """

    path: tuple[str | int, ...]
    text: str
    fatal: bool = True
