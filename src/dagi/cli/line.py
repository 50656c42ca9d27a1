"""Questions as they are typed: on a terminal with editing and several lines, otherwise one a line."""

import sys
from collections.abc import AsyncGenerator

import msgspec

MOST_BYTES = 1024 * 1024
PROMPT = "> "


class Asking(msgspec.Struct, frozen=True):
    """Where questions come from. `interactive`: a person sits at a terminal."""

    interactive: bool

    @classmethod
    def of_terminal(cls) -> "Asking":
        """A person, where both ends are a terminal."""
        return cls(sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty())

    def lines(self) -> AsyncGenerator[str]:
        """What is asked, until there is no more; never empty."""
        return _typed() if self.interactive else _read()


async def _read() -> AsyncGenerator[str]:
    while sys.stdin is not None and (line := sys.stdin.buffer.readline(MOST_BYTES)):
        text = line.decode("utf-8", "replace").strip()
        if text:
            yield text


async def _typed() -> AsyncGenerator[str]:
    # Takes a tenth of a second to load, which only a conversation needs.
    from prompt_toolkit import PromptSession  # noqa: PLC0415
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent  # noqa: PLC0415

    keys = KeyBindings()

    @keys.add("enter")
    def send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        if buffer.document.text_before_cursor.endswith("\\") and buffer.document.is_cursor_at_the_end:
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    session: PromptSession[str] = PromptSession(PROMPT, multiline=True, key_bindings=keys, prompt_continuation="  ")
    while True:
        try:
            text = (await session.prompt_async()).strip()
        except KeyboardInterrupt:
            continue  # what was typed is thrown away, the conversation goes on
        except EOFError:
            return
        if text:
            # Bytes the terminal's encoding has no letters for arrive as half characters, which nothing can send on.
            yield text.encode("utf-8", "replace").decode()
