"""Answers as bytes. Never awaits."""

from http import HTTPStatus
from typing import Final

from dagi.services.face import Answer

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
_LINES: Final = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_CLOSE: Final = b"connection: close\r\n"
_CHUNKED: Final = b"transfer-encoding: chunked\r\n"


def bare(status: HTTPStatus) -> bytes:
    """An answer to what was no request: the status, and the end."""
    return b"%bcontent-length: 0\r\n%b\r\n" % (_LINES[status], _CLOSE)


def head(answer: Answer, request_id: str, date: bytes, *, close: bool, chunked: bool, endless: bool = False) -> bytes:
    """The status line and the headers, with the blank line after them.

    Args:
        close: say that the connection ends with this answer.
        chunked: the body comes in chunks.
        endless: its length is not known; where it does not come in chunks, it ends with the connection.

    Raises:
        ValueError: a header holds a line break, and would become two.
    """
    fields = b"".join([b"%b: %b\r\n" % field for field in answer.headers])
    if fields.count(b"\n") != len(answer.headers) or fields.count(b"\r") != len(answer.headers):
        raise ValueError("a header of an answer holds a line break")
    length = _CHUNKED if chunked else b"" if endless else b"content-length: %d\r\n" % len(answer.body)
    return b"%bdate: %b\r\n%b%bx-request-id: %b\r\nx-content-type-options: nosniff\r\n%b\r\n" % (
        _LINES[answer.status],
        date,
        fields,
        length,
        request_id.encode(),
        _CLOSE if close else b"",
    )


def chunk(data: bytes) -> bytes:
    """One chunk of a body (RFC 9112, 7.1); nothing for nothing, since an empty chunk would be the last one."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""
