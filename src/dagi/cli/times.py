"""Points in time as people write them: how long from now, or when."""

from datetime import UTC, datetime

from dagi.cli.durations import duration
from dagi.errors import Invalid


def moment(text: str, now: datetime, field: str) -> datetime:
    """`3d` from now, or `2026-12-24T18:00:00Z`; a time without a zone is UTC.

    Raises:
        Invalid: it is neither.
    """
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return now + duration(text, field)
    try:
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except OverflowError as error:
        raise Invalid(f"{text[:40]} lies beyond all time.", field=field) from error
