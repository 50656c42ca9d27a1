"""`dagi logs`: the logs of all processes, as one."""

import sys
import time
from collections import deque
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Literal

import typer

from dagi.cli.durations import duration
from dagi.cli.options import AsJson, Config, Profile, looked_at
from dagi.cli.output import write
from dagi.errors import Invalid, Missing
from dagi.observe.clock import SystemClock
from dagi.observe.reading import Entry, LogFiles, Wanted, readable

LOOK_S = 0.2
# With --follow, what came before is only there to begin with.
BEFORE = 10


def logs(
    request_id: Annotated[str | None, typer.Option("--request-id", help="Everything of one request, through all services.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as the logs grow; Ctrl-C ends it.")] = False,
    since: Annotated[str | None, typer.Option(help="How far back: 30m, 12h, 7d; or a time such as 2026-11-22T12:00.")] = None,
    level: Annotated[
        Literal["debug", "info", "warning", "error"] | None, typer.Option(case_sensitive=False, help="This level and graver ones.")
    ] = None,
    service: Annotated[str | None, typer.Option(help="One service, for example router.")] = None,
    lines: Annotated[int | None, typer.Option("--lines", "-n", min=0, help="Only the last so many.")] = None,
    profile: Profile = None,
    config: Config = None,
    json: AsJson = False,
) -> None:
    """Read the logs of all processes together, by time; rotated files too. Times are UTC.

    Example: dagi logs --since 1h --level warning
    """
    of = looked_at(profile, config)
    wanted = Wanted(request_id=request_id, level=level, service=service, since=None if since is None else _time(since, SystemClock()))
    files = LogFiles(of.data_dir / "logs", wanted)
    if not files.there and not follow:
        raise Missing(f"There is no log in {of.data_dir / 'logs'} yet; `dagi serve` writes it.")
    past = files.past(unfinished=not follow)
    last = lines if lines is not None or not follow or since is not None or request_id is not None else BEFORE
    if not _print(past if last is None else deque(past, maxlen=last), json=json) and not follow:
        typer.echo("No line of the logs matches.", err=True)
    try:
        while follow:
            time.sleep(LOOK_S)
            _print(files.news(), json=json)
    except KeyboardInterrupt:
        raise typer.Exit from None


def _print(entries: Iterable[Entry], *, json: bool) -> int:
    count = 0
    for count, entry in enumerate(entries, 1):  # noqa: B007 - the last number is the answer
        if not json:
            write(readable(entry) + "\n", sys.stdout)
        elif entry.event is not None:
            write(entry.raw.decode("utf-8", "replace") + "\n", sys.stdout)
    return count


def _time(text: str, clock: SystemClock) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        try:
            return clock.now() - duration(text)
        except (Invalid, OverflowError) as error:
            raise Invalid(f"{text!r} is no time. Write 30m, 12h, 7d, or 2026-11-22T12:00 (UTC).", field="since") from error
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
