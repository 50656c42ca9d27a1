"""What the sections of the configuration have in common."""

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,63}\Z")


def named(text: str) -> str:
    """The text, if it can name something in logs, metrics and headers; else `ValueError`."""
    if not _NAME.match(text):
        raise ValueError("must be 1 to 64 letters, digits or any of . _ - : / @ +, beginning with a letter or digit and without spaces")
    return text


Name = Annotated[str, AfterValidator(named)]
Text = Annotated[str, Field(min_length=1, max_length=1000)]


class Section(BaseModel):
    """A mapping with known keys; frozen, and strict about types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)
