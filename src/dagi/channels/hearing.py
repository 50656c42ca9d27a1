"""Hears an answer while it is made, for whoever shows it."""

from dagi.ports.target import Delta, End, Event, Passed, Progress


class Hearing:
    """An ear that remembers the words; see `dagi.ports.target.Ear`."""

    def __init__(self) -> None:
        self.progress = Progress()
        self._words: list[str] = []

    @property
    def text(self) -> str:
        """What was said so far."""
        return "".join(self._words)

    def hear(self, event: Event) -> None:
        """See `Ear`."""
        match event:
            case Delta(text):
                self._words.append(text)
            case Passed():
                self._words.append(event.read(event.raw))
            case End():
                self.progress.ended = True
            case _:
                pass

    def forget(self) -> None:
        """See `Ear`."""
        self._words.clear()
        self.progress.ended = False

    async def room(self) -> None:
        """See `Ear`. There is always room: what is shown is far less than what is heard."""
