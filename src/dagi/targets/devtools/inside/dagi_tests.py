"""Runs the tests of /workspace with the framework that was asked for, or with the one it finds there.

Its one argument is JSON: framework, command, paths, keyword, coverage, max_failures, environment, report_bytes.
It ends with the framework's own status. Lines it tells (dagi_reporting.py), beside those of the frameworks:

    {"kind":"start","framework":"pytest"}        first of all
    {"kind":"refused","message":"…"}             it cannot be done like that
    {"kind":"coverage","percent":87.5}           and one `covered` for each file before
    {"kind":"finish","status":0,"totals":{…}}    last of all: a run without it did not come to its end
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypedDict

import dagi_home
from dagi_reporting import Reporter, flush, status_of

_LOOKED_AT = 5000
NOT_FOUND = 127
USAGE = 2


# The status, and the totals where there are some.
Ran = tuple[int, dict[str, int]]


class Spec(TypedDict):
    """What is to be run."""

    framework: str
    command: list[str]
    paths: list[str]
    keyword: str
    coverage: bool
    max_failures: int
    environment: dict[str, str]
    report_bytes: int


def found(root: Path) -> str:
    """The framework of this workspace. pytest runs tests of unittest as well, so it is the one for everything that is Python."""
    if any((root / name).is_file() for name in ("pytest.ini", ".pytest.ini", "conftest.py")):
        return "pytest"
    looked = 0
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if not name.startswith(".") and name not in {"node_modules", "__pycache__"}]
        if any(name.endswith(".py") and (name.startswith("test") or name.endswith("_test.py")) for name in files):
            return "pytest"
        looked += 1 + len(files)
        if looked > _LOOKED_AT or directory.count(os.sep) > 20:
            break
    return "npm" if (root / "package.json").is_file() else "pytest"


def node_speaks_tap() -> dict[str, str]:
    """The environment that makes Node's own test runner write TAP, where this Node takes it (from 23 on it would not by itself)."""
    wanted = {"NODE_OPTIONS": "--test-reporter=tap"}
    tried = subprocess.run(["node", "-e", "0"], env={**os.environ, **wanted}, capture_output=True, check=False)  # noqa: S607 - of the sandbox's PATH
    return wanted if tried.returncode == 0 else {}


def refuse(report: Reporter, message: str, status: int = USAGE) -> Ran:
    """Nothing is run."""
    report.insist("refused", message=message)
    return status, {}


def run_npm(spec: Spec, report: Reporter) -> Ran:
    """`npm test`, without a network."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        return refuse(report, "Node.js and npm are not in the sandbox: this machine has none in its system directories.", NOT_FOUND)
    if not Path("package.json").is_file():
        return refuse(report, "There is no package.json in the workspace.")
    settings = {"offline": "true", "update_notifier": "false", "fund": "false", "audit": "false", "cache": "/tmp/npm"}
    environment = {f"npm_config_{name}": value for name, value in settings.items()}
    if "NODE_OPTIONS" not in spec["environment"]:
        environment |= node_speaks_tap()
    paths = ["--", *spec["paths"]] if spec["paths"] else []
    return run_command({**spec, "command": ["npm", "test", *paths]}, report, environment)


def run_command(spec: Spec, report: Reporter, environment: Mapping[str, str] = MappingProxyType({})) -> Ran:
    """A program to its end."""
    if spec["keyword"] or spec["coverage"] or spec["max_failures"]:
        return refuse(report, "keyword, coverage and max_failures are for pytest and unittest.")
    try:
        returned = subprocess.run(spec["command"], env={**os.environ, **environment}, check=False).returncode
    except OSError as error:
        return refuse(report, f"{spec['command'][0]} cannot be started: {error.strerror}.", NOT_FOUND)
    return status_of(returned), {}


def runner(framework: str, *, coverage: bool) -> Callable[[Spec, Reporter], Ran]:
    """What runs that framework. Imported here, before anything of the workspace can be found under the names of ours or of pytest."""
    if coverage:
        importlib.import_module("dagi_measuring")
    if framework == "pytest":
        import dagi_pytest  # noqa: PLC0415

        return dagi_pytest.run
    if framework == "unittest":
        import dagi_unittest  # noqa: PLC0415

        return dagi_unittest.run
    return run_npm if framework == "npm" else run_command


def prepare(environment: Mapping[str, str]) -> None:
    """The environment that was asked for, and the workspace where `python -m pytest` would have it."""
    os.environ |= {"COVERAGE_FILE": "/tmp/.coverage", "NO_COLOR": "1", **environment}
    sys.path[0:1] = [str(Path.cwd()), *(entry for entry in environment.get("PYTHONPATH", "").split(":") if entry)]


def main() -> None:
    """Run them, and end as they did."""
    spec: Spec = json.loads(sys.argv[1])
    report = Reporter(spec["report_bytes"])
    sys.argv[1:] = []
    framework = found(Path.cwd()) if spec["framework"] == "auto" else spec["framework"]
    work = runner(framework, coverage=spec["coverage"])
    dagi_home.furnish()
    prepare(spec["environment"])
    report.insist("start", framework=framework)
    status, totals = work(spec, report)
    flush()
    report.insist("finish", status=status, totals=totals)
    sys.exit(status)


if __name__ == "__main__":
    main()
