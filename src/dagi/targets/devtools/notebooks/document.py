"""A notebook as Jupyter stores it: nbformat 4.5, https://nbformat.readthedocs.io/en/latest/format_description.html.

What the sandbox gives back was written by code of others. It is read into these forms, and what is stored is written from them: whatever
has no place in the format is not stored.
"""

from typing import Annotated

import msgspec
from msgspec import Meta

from dagi.errors import Invalid

# A text, or its lines.
Text = str | list[str]
Id = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
Bundle = dict[str, object]


class Stream(msgspec.Struct, kw_only=True, tag_field="output_type", tag="stream"):
    """What was printed."""

    name: Annotated[str, Meta(pattern="^(stdout|stderr)$")]
    text: Text


class Display(msgspec.Struct, kw_only=True, tag_field="output_type", tag="display_data"):
    """What was shown, in several forms by media type."""

    data: Bundle
    metadata: Bundle


class Result(msgspec.Struct, kw_only=True, tag_field="output_type", tag="execute_result"):
    """The value of a cell's last expression."""

    data: Bundle
    metadata: Bundle
    execution_count: int | None


class Error(msgspec.Struct, kw_only=True, tag_field="output_type", tag="error"):
    """An exception."""

    ename: str
    evalue: str
    traceback: list[str]


Output = Stream | Display | Result | Error


class Code(msgspec.Struct, kw_only=True, tag_field="cell_type", tag="code"):
    """A cell of code."""

    id: Id
    metadata: Bundle
    source: Text
    execution_count: int | None
    outputs: list[Output]


class Markdown(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="cell_type", tag="markdown"):
    """A cell of text."""

    id: Id
    metadata: Bundle
    source: Text
    attachments: dict[str, Bundle] | None = None


class Raw(msgspec.Struct, kw_only=True, omit_defaults=True, tag_field="cell_type", tag="raw"):
    """A cell that is passed on as it is."""

    id: Id
    metadata: Bundle
    source: Text
    attachments: dict[str, Bundle] | None = None


class Notebook(msgspec.Struct, kw_only=True):
    """A notebook."""

    cells: list[Code | Markdown | Raw]
    metadata: Bundle
    nbformat: Annotated[int, Meta(ge=4, le=4)]
    nbformat_minor: Annotated[int, Meta(ge=5, le=9)]


class _Version(msgspec.Struct):
    nbformat: Annotated[int, Meta(ge=1, le=4)]


_NOTEBOOKS = msgspec.json.Decoder(Notebook)
_VERSIONS = msgspec.json.Decoder(_Version)


def check_version(content: bytes, field: str) -> None:
    """Make sure, as far as it can be told by its first look, that it is a notebook.

    Raises:
        Invalid: it is not.
    """
    try:
        _VERSIONS.decode(content)
    except msgspec.ValidationError as error:
        raise Invalid(f"That is no notebook of format 1 to 4: {error}.", field=field) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"That is no notebook, for it is no JSON: {error}.", field=field) from None
    except RecursionError:
        raise Invalid("That notebook is nested too deeply.", field=field) from None


def read(content: bytes) -> Notebook | None:
    """The notebook; None where it is none."""
    try:
        return _NOTEBOOKS.decode(content)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def written(notebook: Notebook) -> bytes:
    """The notebook as a file, in the layout of Jupyter itself."""
    return msgspec.json.format(msgspec.json.encode(notebook), indent=1) + b"\n"


def joined(text: object) -> str:
    """A text that may have come as lines."""
    if isinstance(text, str):
        return text
    return "".join(line for line in text if isinstance(line, str)) if isinstance(text, list) else ""
