"""What `notebook_execute` takes and gives."""

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from dagi.targets.devtools.tool import InWorkspace

Outcome = Literal["ok", "error", "timed_out", "died", "refused", "out_of_memory", "output_limit", "disk_limit", "crashed"]
CellOutcome = Literal["ok", "error", "timed_out", "died", "output_limit", "unfinished", "not_run"]

Path = Annotated[str, Meta(min_length=1, max_length=4096)]


class ExecuteNotebook(InWorkspace, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A notebook, as a file of the workspace or as it is."""

    path: Annotated[Path, Meta(description="An .ipynb file of the workspace.")] | None = None
    notebook: Annotated[dict[str, Any], Meta(description="A notebook as JSON, instead of a path.")] | None = None
    store_as: (
        Annotated[Path, Meta(description="Where the executed notebook is stored: at path where left out, nowhere where null.")]
        | UnsetType
        | None
    ) = UNSET
    timeout_s: Annotated[float, Meta(gt=0, description="For all cells together. As long as is allowed where left out.")] | None = None
    cell_timeout_s: Annotated[float, Meta(gt=0, description="For each cell.")] | None = None
    allow_errors: Annotated[bool, Meta(description="Go on after a cell that fails.")] = False


class OutputDone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Something a cell has put out.

    Attributes:
        kind: `stdout`, `stderr`, `result`, `display` or `error`.
        image: base64, of `media_type`.
        left_out: what is too much to be told here; the stored notebook has it.
    """

    kind: Literal["stdout", "stderr", "result", "display", "error"]
    text: str = ""
    image: str = ""
    media_type: str = ""
    ename: str = ""
    evalue: str = ""
    traceback: str = ""
    left_out: str = ""


class CellDone(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A cell of code. `index` counts all cells of the notebook, from 0; `outputs_left_out` are those beyond the first."""

    index: int
    outcome: CellOutcome
    seconds: float = 0.0
    outputs: list[OutputDone] = msgspec.field(default_factory=list[OutputDone])
    outputs_left_out: int = 0


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """Where the executed notebook is."""

    path: str
    etag: str


class NotebookDone(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. All of it was told by the code that ran.

    Attributes:
        summary: the outcome in a sentence.
        not_stored: why the executed notebook was not stored though it was to be.
        printed: what was printed beside the cells, by programs they started for example; bounded.
    """

    outcome: Outcome
    summary: str
    cells: list[CellDone]
    stored: Stored | None
    not_stored: str
    printed: str
    wall_s: float
