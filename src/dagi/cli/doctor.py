"""`dagi doctor`: find what is missing or misconfigured, and say what to do about each."""

import asyncio
from collections.abc import AsyncGenerator, Iterable

import msgspec
import typer
from rich.markup import escape

from dagi.assemble.diagnosis import Report, diagnose, misconfigured
from dagi.assemble.installation import Choice, Installation
from dagi.cli.options import AsJson, Config, Profile
from dagi.cli.output import as_json, console
from dagi.errors import ConfigError

_MARKS = {"ok": "[green]ok[/]      ", "warning": "[yellow]warning[/] ", "error": "[red]error[/]   "}


def doctor(profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Find what is missing or misconfigured. Exit status 0: nothing that stops the stack; 1: something does.

    Example: dagi doctor --profile prod
    """
    try:
        found = diagnose(Installation.read(Choice(profile=profile, config=config)))
    except ConfigError as error:
        found = _each(misconfigured(error))
    reports = asyncio.run(_collect(found, show=not json))
    if json:
        as_json([{"about": report.about, **msgspec.to_builtins(report.finding)} for report in reports])
    if any(report.finding.severity == "error" for report in reports):
        raise typer.Exit(1)


async def _each(reports: Iterable[Report]) -> AsyncGenerator[Report]:
    for report in reports:
        yield report


async def _collect(found: AsyncGenerator[Report], *, show: bool) -> list[Report]:
    reports: list[Report] = []
    terminal = console()
    async for report in found:
        reports.append(report)
        if show:
            finding = report.finding
            terminal.print(f"{_MARKS[finding.severity]}{escape(report.about)}: {escape(finding.what)}")
            if finding.fix and finding.severity != "ok":
                terminal.print(f"         → {escape(finding.fix)}")
    return reports
