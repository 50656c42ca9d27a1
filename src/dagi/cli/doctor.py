"""`dagi doctor`: find what is missing or misconfigured, and say what to do about each."""

import asyncio

import msgspec
import typer
from rich.markup import escape

from dagi.assemble.diagnosis import Report, diagnose
from dagi.assemble.installation import Choice, Installation
from dagi.cli.options import AsJson, Config, Profile
from dagi.cli.output import as_json, console

_MARKS = {"ok": "[green]ok[/]      ", "warning": "[yellow]warning[/] ", "error": "[red]error[/]   "}


def doctor(profile: Profile = None, config: Config = None, json: AsJson = False) -> None:
    """Find what is missing or misconfigured. Exit status 0: nothing that stops the stack; 1: something does.

    Example: dagi doctor --profile prod
    """
    reports = asyncio.run(_collect(Installation.read(Choice(profile=profile, config=config)), show=not json))
    if json:
        as_json([{"about": report.about, **msgspec.to_builtins(report.finding)} for report in reports])
    if any(report.finding.severity == "error" for report in reports):
        raise typer.Exit(1)


async def _collect(of: Installation, *, show: bool) -> list[Report]:
    reports: list[Report] = []
    terminal = console()
    async for report in diagnose(of):
        reports.append(report)
        if show:
            finding = report.finding
            terminal.print(f"{_MARKS[finding.severity]}{escape(report.about)}: {escape(finding.what)}")
            if finding.fix and finding.severity != "ok":
                terminal.print(f"         → {escape(finding.fix)}")
    return reports
