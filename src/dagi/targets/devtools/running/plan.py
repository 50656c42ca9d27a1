"""What is to be run, decided from what was asked for."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from dagi.errors import Invalid, Missing
from dagi.targets.devtools.running.forms import RunTests
from dagi.targets.devtools.sandbox.job import REPORT_TIMES, TOOLS, Bounds, Job, Place

_ODD: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# An argument of a program is at most 128 KiB on Linux; this is its text as JSON.
_SPEC_BYTES: Final = 100_000


def job_of(wanted: RunTests, commands: Mapping[str, Sequence[str]], place: Place, bounds: Bounds) -> Job:
    """The job that runs these tests.

    Args:
        commands: those of the workspace, by name.
        bounds: the most that is allowed.

    Raises:
        Invalid: a parameter is wrong, or does not go with another one.
        Missing: the workspace has no command of that name.
    """
    command = _command(wanted, commands)
    for number, path in enumerate(wanted.paths):
        _check_path(path, f"params.paths[{number}]")
    if _ODD.search(wanted.keyword):
        raise Invalid("params.keyword has characters that no name of a test has.", field="params.keyword")
    for name, value in wanted.environment.items():
        if "\0" in value or _ODD.search(value.replace("\n", "").replace("\t", "")):
            raise Invalid(f"The value of {name} has control characters.", field=f"params.environment.{name}")
    if wanted.timeout_s is not None and wanted.timeout_s > bounds.wall_s:
        raise Invalid(f"params.timeout_s can be {bounds.wall_s:g} at most here.", field="params.timeout_s", allowed=bounds.wall_s)
    spec = msgspec.json.encode(
        {
            "framework": "command" if command else wanted.framework,
            "command": command,
            "paths": wanted.paths,
            "keyword": wanted.keyword,
            "coverage": wanted.coverage,
            "max_failures": wanted.max_failures,
            "environment": wanted.environment,
            "report_bytes": bounds.output * REPORT_TIMES,
        }
    )
    if len(spec) > _SPEC_BYTES:
        raise Invalid("params.paths and params.environment are too much together; name directories.", field="params.paths")
    return Job(
        command=("python", f"{TOOLS}/inside/dagi_tests.py", spec.decode()),
        places=(place,),
        bounds=msgspec.structs.replace(bounds, wall_s=wanted.timeout_s or bounds.wall_s),
    )


def _command(wanted: RunTests, commands: Mapping[str, Sequence[str]]) -> list[str]:
    if not wanted.command and wanted.framework != "command":
        return []
    if not wanted.command:
        raise Invalid(
            "params.command names which of the workspace's commands is to be run.", field="params.command", allowed=sorted(commands)
        )
    if wanted.framework not in {"auto", "command"}:
        raise Invalid("Either params.framework or params.command.", field="params.command")
    if wanted.paths or wanted.keyword or wanted.coverage or wanted.max_failures:
        raise Invalid("A command is run as it stands: without paths, keyword, coverage and max_failures.", field="params.command")
    found = commands.get(wanted.command)
    if not found:
        there = f"It has: {', '.join(sorted(commands))}." if commands else "It has none yet."
        raise Missing(f"The workspace {wanted.workspace} has no command {wanted.command}. {there}", field="params.command")
    return list(found)


def _check_path(path: str, field: str) -> None:
    file = path.partition("::")[0]
    if _ODD.search(path) or "\\" in file:
        raise Invalid(f"{field} has characters that no path here has.", field=field)
    # `@` would name a file with arguments, `-` would be one.
    if file.startswith(("/", "-", "@", "~")) or ".." in file.split("/") or not file:
        raise Invalid(f"{field} is a path relative to the workspace, without '..'.", field=field)
