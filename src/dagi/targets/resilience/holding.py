"""Holding an answer back from a caller who does not see it before its end, so that another one may still take its place."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from dagi.message import Grant, Message
from dagi.ports.target import End, Event, Failure, Step, Target, Tried, Waited


def opened(target: Target, message: Message, grant: Grant) -> AsyncGenerator[Event]:
    """The target's answer, piece by piece where the caller sees the pieces, and whole or not at all where it does not."""
    events = target.open(message, grant)
    return events if message.streamed else _whole(events)


async def _whole(events: AsyncGenerator[Event]) -> AsyncGenerator[Event]:
    """The same events, content only together with `End`; a `Failure` is raised instead and takes the content with it."""
    held: list[Event] = []
    async with aclosing(events):
        async for event in events:
            match event:
                case Waited() | Tried():
                    yield event
                case Step():
                    pass
                case Failure(error):
                    raise error
                case End():
                    for piece in held:
                        yield piece
                    yield event
                    return
                case _:
                    held.append(event)
