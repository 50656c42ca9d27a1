"""Members from a file: CSV or JSON in, checked lines out. Pure, and bounded whatever comes in.

CSV has a line of column names first, separated by commas, semicolons or tabs; JSON is an array of objects with the same names, or what
`dagi member list --json` prints. Several accounts or roles of one person are separated by `|` or spaces, in JSON they are arrays.
"""

import codecs
import csv
import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time
from typing import Final

import msgspec

from dagi.access.names import check_name, check_role
from dagi.access.wallets import account as account_of
from dagi.errors import Invalid

MAX_BYTES: Final = 8_000_000
MAX_LINES: Final = 20_000
MAX_CELL: Final = 2_000
MAX_ACCOUNTS: Final = 10
TOLD: Final = 50
# What a column may be called, and what it is.
_COLUMNS: Final[Mapping[str, str]] = {
    "account": "accounts", "accounts": "accounts", "user_id": "accounts", "identities": "accounts",
    "role": "roles", "roles": "roles",
    "name": "name",
    "expires": "expires_at", "expires_at": "expires_at",
    "suspended": "suspended",
    "dao_id": "dao_id",
}  # fmt: skip
# What an export holds beside and an import does not set.
_IGNORED: Final = frozenset({"person_id", "source", "sources", "created_at"})
_DELIMITERS: Final = ",;\t"
_YES_NO: Final[Mapping[str, bool]] = {"no": False, "false": False, "0": False, "yes": True, "true": True, "1": True}
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))

# A line by its columns' names, or what is wrong with it already.
_Row = Mapping[str, object] | Invalid


class ImportLine(msgspec.Struct, frozen=True, kw_only=True):
    """One person of the file.

    Attributes:
        line: where it begins, from 1 on; in JSON the place in the array.
        expires_at: None for never; not set where the file does not say.
        suspended: None where the file does not say.
    """

    line: int
    accounts: tuple[str, ...]
    roles: tuple[str, ...]
    name: str = ""
    expires_at: datetime | msgspec.UnsetType | None = msgspec.UNSET
    suspended: bool | None = None


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong with a line, and where in it."""

    line: int
    field: str
    message: str


class Reading(msgspec.Struct, frozen=True):
    """A file, read: the lines that are right, and what is wrong with the others."""

    lines: tuple[ImportLine, ...]
    mistakes: tuple[Mistake, ...] = ()


class Mistakes:
    """Gathers what is wrong, so that one look shows all of it."""

    def __init__(self, found: Iterable[Mistake] = ()) -> None:
        self.found = list(found)

    def add(self, line: int, error: Invalid) -> None:
        """One more."""
        self.found.append(Mistake(line, str(error.facts["field"]), error.message))

    def check(self) -> None:
        """Go on where nothing is wrong.

        Raises:
            Invalid: with every mistake and its line (the first fifty).
        """
        if not self.found:
            return
        told = sorted(self.found, key=lambda one: one.line)[:TOLD]
        lines = "".join(f"\nline {one.line}: {one.message}" for one in told)
        more = f"\nand {len(self.found) - TOLD} more" if len(self.found) > TOLD else ""
        sentence = f"Nothing was written, for {_counted(len(self.found))} wrong in the file:{lines}{more}"
        raise Invalid(sentence, field="file", mistakes=told, mistake_count=len(self.found))


def read_members(data: bytes, dao_id: str) -> Reading:
    """The file's people, and what is wrong with its lines.

    Raises:
        Invalid: the file cannot be read at all.
    """
    if len(data) > MAX_BYTES:
        raise Invalid(f"The file is larger than {MAX_BYTES // 1_000_000} MB. Import it in parts.", field="file")
    text = _decoded(data)
    rows = _from_json(text) if text.lstrip()[:1] in {"[", "{"} else _from_csv(text)
    mistakes = Mistakes()
    lines: list[ImportLine] = []
    for number, row in rows:
        if len(lines) + len(mistakes.found) >= MAX_LINES:
            raise Invalid(f"The file has more than {MAX_LINES} people. Import it in parts.", field="file")
        try:
            lines.append(_line(number, row, dao_id))
        except Invalid as error:
            mistakes.add(number, error)
    _refuse_twice(lines, mistakes)
    if not lines and not mistakes.found:
        raise Invalid("There is nobody in the file.", field="file")
    return Reading(tuple(lines), tuple(mistakes.found))


def _decoded(data: bytes) -> str:
    mark, encoding = next(((mark, encoding) for mark, encoding in _BOMS if data.startswith(mark)), (b"", "utf-8"))
    try:
        # A program that turns one encoding into another may leave the mark of the first behind the mark of the second.
        return data[len(mark) :].decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        sentence = f"The file is no UTF-8 text (byte {error.start + len(mark)}). Save it as UTF-8; in Excel: CSV UTF-8."
        raise Invalid(sentence, field="file") from error


def _from_json(text: str) -> Iterator[tuple[int, _Row]]:
    try:
        found = msgspec.json.decode(text, type=list[dict[str, object]])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise Invalid(f"The file is no JSON array of objects: {str(error)[:200]}.", field="file") from error
    return enumerate(found, 1)


def _from_csv(text: str) -> Iterator[tuple[int, _Row]]:
    head = text.lstrip("\r\n").splitlines()[:1]
    delimiter = max(_DELIMITERS, key=head[0].count) if head else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    names: list[str] | None = None
    began = 1
    try:
        for cells in reader:
            line, began = began, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if names is None:
                names = [cell.strip().lower() for cell in cells]
                _check_columns(names)
                continue
            if len(cells) > len(names):
                yield line, Invalid(f"The line has {len(cells)} cells, and there are {len(names)} columns.", field="file")
                continue
            yield line, dict(zip(names, cells, strict=False))
    except csv.Error as error:
        raise Invalid(f"The file is no CSV from line {began} on: {error}.", field="file") from error


def _check_columns(names: Sequence[str]) -> None:
    meant = [_COLUMNS.get(name, name) for name in names]
    for name, column in zip(names, meant, strict=True):
        if column not in _COLUMNS.values() and column not in _IGNORED:
            raise Invalid(f"The column {_shown(name)!r} is unknown. The first line names the columns.", field="file", allowed=_allowed())
        if meant.count(column) > 1:
            raise Invalid(f"The column {column} is there twice.", field="file")
    if "accounts" not in meant or "roles" not in meant:
        raise Invalid("The first line has to name the columns, account and role among them.", field="file", allowed=_allowed())


def _line(number: int, row: _Row, dao_id: str) -> ImportLine:
    if isinstance(row, Invalid):
        raise row
    cells: dict[str, object] = {}
    for name, value in row.items():
        column = _COLUMNS.get(name)
        if column is None and name not in _IGNORED:
            raise Invalid(f"The key {_shown(name)!r} is unknown.", field="file")
        if column in cells:
            raise Invalid(f"{column} is there twice, under two names.", field=column)
        if column is not None:
            cells[column] = value
    if str(cells.get("dao_id") or dao_id) != dao_id:
        raise Invalid("The line belongs to another DAO.", field="dao_id")
    return ImportLine(
        line=number,
        accounts=_several(cells.get("accounts"), "accounts", account_of, MAX_ACCOUNTS),
        roles=_several(cells.get("roles"), "roles", check_role, MAX_ACCOUNTS),
        name=_name(cells.get("name")),
        expires_at=_time(cells["expires_at"]) if "expires_at" in cells else msgspec.UNSET,
        suspended=_yes(cells.get("suspended")),
    )


def _several(value: object, field: str, check: Callable[[str, str], str], most: int) -> tuple[str, ...]:
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        items = [str(item).strip() for item in value]
    elif isinstance(value, str):
        items = value.replace("|", " ").split()
    else:
        raise Invalid(f"{field} is missing, or neither a text nor a list of texts.", field=field)
    if not items or len(items) > most:
        raise Invalid(f"There have to be 1 to {most} {field}.", field=field)
    return tuple(dict.fromkeys(check(item, field) for item in items))


def _name(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_CELL:
        raise Invalid("name is no short text.", field="name")
    return check_name(value) if value.strip() else ""


def _time(value: object) -> datetime | None:
    if value is None:
        return None
    written = value.strip() if isinstance(value, str) else "?"
    if written in {"", "never"}:
        return None
    with suppress(ValueError):
        # A day that is named is a day on which one is still a member.
        return datetime.combine(date.fromisoformat(written), time.max, UTC).replace(microsecond=0)
    try:
        found = datetime.fromisoformat(written)
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        sentence = f"{_shown(written)!r} is no time. Write 2026-12-31, 2026-12-31T18:00:00Z, or never."
        raise Invalid(sentence, field="expires_at") from error


def _yes(value: object) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    written = str(value).strip().lower()
    if written and written not in _YES_NO:
        raise Invalid("suspended is yes or no, or empty to leave it as it is.", field="suspended")
    return _YES_NO.get(written)


def _refuse_twice(lines: Sequence[ImportLine], mistakes: Mistakes) -> None:
    first: dict[str, int] = {}
    for one in lines:
        for account in one.accounts:
            if account in first:
                mistakes.add(one.line, Invalid(f"{account} stands in line {first[account]} already.", field="accounts"))
            first.setdefault(account, one.line)


def _shown(text: str) -> str:
    return "".join(letter for letter in text[:40] if letter.isprintable())


def _allowed() -> list[str]:
    return sorted(set(_COLUMNS))


def _counted(count: int) -> str:
    return "one thing is" if count == 1 else f"{count} things are"
