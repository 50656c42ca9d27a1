"""Vectors as JSON: lists of numbers, or base64 of float32 numbers, little endian. Pure."""

import binascii
import struct
from base64 import b64decode, b64encode
from typing import Final

import msgspec

_NUMBERS: Final = msgspec.json.Decoder(list[float])
_QUOTE: Final = ord('"')
_TEXT: Final = msgspec.json.Decoder(str)


def spelled(vector: msgspec.Raw, *, compact: bool) -> msgspec.Raw:
    """The vector in the form wished for: base64 where `compact`, else a list. Untouched where it has that form.

    Raises:
        ValueError: it is no vector, be its form the right one or not: model servers that fail write null among the numbers.
    """
    is_text = memoryview(vector)[0] == _QUOTE
    try:
        if not is_text:
            numbers = _NUMBERS.decode(vector)
            packed = struct.pack(f"<{len(numbers)}f", *numbers) if compact else b""
            return msgspec.Raw(b'"' + b64encode(packed) + b'"') if compact else vector
        data = b64decode(_TEXT.decode(vector), validate=True)
        if len(data) % 4:
            raise ValueError("it is no vector")
        return vector if compact else msgspec.Raw(msgspec.json.encode(struct.unpack(f"<{len(data) // 4}f", data)))
    except (msgspec.MsgspecError, binascii.Error, struct.error, OverflowError) as error:
        raise ValueError("it is no vector") from error


def length(vector: msgspec.Raw) -> int:
    """How many numbers it has, as far as its form tells."""
    data = bytes(vector)
    if data[:1] == b'"':
        # Some servers write a slash with a backslash before it.
        return (len(data) - 2 - data.count(b"=") - data.count(b"\\")) * 3 // 16
    return data.count(b",") + 1
