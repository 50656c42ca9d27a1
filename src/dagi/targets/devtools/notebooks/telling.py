"""What is told of an executed notebook: its outputs, bounded and plain."""

import re

from dagi.targets.devtools.notebooks.document import Code, Error, Notebook, Output, Result, Stream, joined
from dagi.targets.devtools.notebooks.forms import OutputDone
from dagi.targets.devtools.texts import clipped

_TEXT, _TRACEBACK, _NAME = 8000, 8000, 200
_OUTPUTS = 20
_BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
_IMAGES = ("image/png", "image/jpeg")


class Room:
    """How much more of images and of texts has room in one answer."""

    def __init__(self, *, images: int = 1 << 20, texts: int = 256 << 10) -> None:
        self._images = images
        self._texts = texts

    def outputs(self, notebook: Notebook, index: int) -> tuple[list[OutputDone], int]:
        """The outputs of a cell, and how many more there are."""
        cell = notebook.cells[index] if index < len(notebook.cells) else None
        if not isinstance(cell, Code):
            return [], 0
        return [self._told(output) for output in cell.outputs[:_OUTPUTS]], max(0, len(cell.outputs) - _OUTPUTS)

    def _told(self, output: Output) -> OutputDone:
        if isinstance(output, Stream):
            return OutputDone(kind="stdout" if output.name == "stdout" else "stderr", text=self._text(joined(output.text), _TEXT))
        if isinstance(output, Error):
            return OutputDone(
                kind="error",
                ename=self._text(output.ename, _NAME),
                evalue=self._text(output.evalue, _TEXT // 4),
                traceback=self._text("\n".join(output.traceback), _TRACEBACK),
            )
        kind = "result" if isinstance(output, Result) else "display"
        text = self._text(joined(output.data.get("text/plain", "")), _TEXT)
        media_type = next((one for one in _IMAGES if one in output.data), "")
        image = "".join(joined(output.data.get(media_type, "")).split())
        if not _BASE64.fullmatch(image):
            # Whoever shows it as a picture would show what somebody else has written.
            media_type = image = ""
        others = sorted(clipped(name, _NAME) for name in output.data if name not in {"text/plain", media_type})[:5]
        if len(image) > self._images:
            return OutputDone(kind=kind, text=text, left_out=f"{media_type} of {len(image) * 3 // 4} bytes")
        self._images -= len(image)
        return OutputDone(kind=kind, text=text, image=image, media_type=media_type, left_out=", ".join(others))

    def _text(self, text: str, limit: int) -> str:
        told = clipped(text, max(100, min(limit, self._texts)))
        self._texts = max(0, self._texts - len(told))
        return told
