"""Lines out of bytes in any portions: LF, CRLF and CR end a line. Never awaits."""


class Lines:
    """Cuts a byte stream into lines, without their ends.

    Attributes:
        rest: the beginning of a line whose end has not come yet.
    """

    def __init__(self) -> None:
        self.rest = b""
        self._after_cr = False

    def feed(self, data: bytes) -> list[bytes]:
        """The lines these bytes complete."""
        if self._after_cr and data:
            # The line was complete with its CR; the LF of the same CRLF came in the next portion.
            self._after_cr = False
            if data.startswith(b"\n"):
                data = data[1:]
        if not data:
            return []
        data = self.rest + data
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            whole = data.endswith((b"\r", b"\n"))
            lines = data.splitlines()
            self.rest = b"" if whole else lines.pop()
            return lines
        lines = data.split(b"\n")
        self.rest = lines.pop()
        return lines
