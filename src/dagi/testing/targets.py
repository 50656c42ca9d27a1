"""A target that does what a script says."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Sequence

import msgspec

from dagi.errors import DagiError
from dagi.message import Grant, Message
from dagi.ports.target import CONTENT, Delta, End, Event, Failure
from dagi.testing.clock import FakeClock


class Hang(msgspec.Struct, frozen=True):
    """A step of a script: wait for ever, or until `ScriptedTarget.release`."""


class Pass(msgspec.Struct, frozen=True):
    """A step of a script: time passes on the fake clock."""

    seconds: float


Step = Event | DagiError | Hang | Pass


class ScriptedTarget:
    """Answers each message with the next script, and with an echo of the prompt when none is left.

    A script is a list of events, of errors (raised before any content, passed on as a `Failure` after it), of `Hang` and `Pass`.

    Attributes:
        heard: the messages it was asked, in order.
        grants: the grant of each.
        closed: how many answers were closed before their end.
        active, most_active: answers under way now, and at most.
    """

    def __init__(self, *scripts: Sequence[Step], name: str = "scripted", clock: FakeClock | None = None) -> None:
        self.name = name
        self.heard: list[Message] = []
        self.grants: list[Grant] = []
        self.closed = 0
        self.active = 0
        self.most_active = 0
        self._scripts = deque(scripts)
        self._clock = clock or FakeClock()
        self._released = asyncio.Event()

    def script(self, *steps: Step) -> None:
        """Add the script of one more answer."""
        self._scripts.append(steps)

    def release(self) -> None:
        """Let every `Hang` go on."""
        self._released.set()

    async def open(self, message: Message, grant: Grant) -> AsyncGenerator[Event]:
        """See `dagi.ports.target.Target.open`."""
        self.heard.append(message)
        self.grants.append(grant)
        steps = self._scripts.popleft() if self._scripts else self._echo(message)
        self.active += 1
        self.most_active = max(self.most_active, self.active)
        over = begun = False
        try:
            for step in steps:
                if isinstance(step, Hang):
                    await self._released.wait()
                    continue
                if isinstance(step, Pass):
                    self._clock.advance(step.seconds)
                    continue
                if isinstance(step, DagiError) and not begun:
                    over = True
                    raise step
                event = Failure(step) if isinstance(step, DagiError) else step
                begun = begun or isinstance(event, CONTENT)
                over = isinstance(event, End | Failure)
                yield event
        finally:
            self.active -= 1
            self.closed += not over

    def _echo(self, message: Message) -> Sequence[Step]:
        return [Delta(message.prompt), End(provider=self.name, model=self.name)]
