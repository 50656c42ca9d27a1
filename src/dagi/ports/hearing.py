"""Hearing what targets tell: whole answers, streams of targets that are asked piece by piece, and looking at what others hear."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import partial
from typing import cast

from dagi.message import Grant, Message
from dagi.ports.target import Ear, End, Event, Failure, Progress, Step, Target, Telling, Tried, Used, Waited

# Told what happens beside the answer itself, and counts also where there is none: waits, attempts, and what was spent so far.
Note = Callable[[Waited | Tried | Used], None]
Tell = Callable[[Message, Grant, Ear], Awaitable[None]]


class Gathered:
    """An ear for somebody who is shown an answer as a whole.

    Args:
        note: told of waits, attempts and what was spent at once.

    Attributes:
        events: the answer's content, and its end.
    """

    def __init__(self, note: Note) -> None:
        self.progress = Progress()
        self.events: list[Event] = []
        self._note = note

    def hear(self, event: Event) -> None:
        """See `Ear`."""
        if isinstance(event, Waited | Tried):
            self._note(event)
            return
        if isinstance(event, Step):
            return
        if isinstance(event, Used):
            self._note(event)
        self.events.append(event)
        self.progress.ended = isinstance(event, End)

    def forget(self) -> None:
        """See `Ear`."""
        self.events.clear()
        self.progress.ended = False

    async def room(self) -> None:
        """See `Ear`. There is always room."""


class Overheard:
    """An ear that passes on to another one what it hears, after `listen` has heard it, and on `forget` forgets."""

    def __init__(self, ear: Ear, listen: Callable[[Event], None], forget: Callable[[], None] | None = None) -> None:
        self.progress = ear.progress
        self.room = ear.room
        self._ear = ear
        self._listen = listen
        self._forget = forget

    def forget(self) -> None:
        """See `Ear`."""
        if self._forget is not None:
            self._forget()
        self._ear.forget()

    def hear(self, event: Event) -> None:
        """See `Ear`."""
        self._listen(event)
        self._ear.hear(event)


def tell_of(target: Target) -> Tell:
    """How to have a target tell its answer."""
    tell = getattr(target, "tell", None)
    return partial(told, target) if tell is None else cast("Telling", target).tell


async def told(target: Target, message: Message, grant: Grant, ear: Ear) -> None:
    """The answer of a target that only streams; see `Telling.tell`. A stream that just stops has no `End`."""
    async with aclosing(target.open(message, grant)) as answer:
        await heard(answer, ear)


async def heard(answer: AsyncGenerator[Event], ear: Ear) -> None:
    """Hear a stream to its end.

    Raises:
        DagiError: it broke off.
    """
    async for event in answer:
        if isinstance(event, Failure):
            raise event.error
        hear(ear, event)
        if isinstance(event, End):
            return
        if ear.progress.full:
            await ear.room()


def hear(ear: Ear, event: Event) -> None:
    """Hear an event, and mind the time that was only waited."""
    if isinstance(event, Waited):
        ear.progress.waited_ms += event.ms
    ear.hear(event)


async def gathered(tell: Tell, message: Message, grant: Grant, note: Note) -> list[Event]:
    """An answer in one piece.

    Raises:
        DagiError: there is no complete one.
    """
    ear = Gathered(note)
    await tell(message, grant, ear)
    return ear.events
