"""What `dagi doctor` says of the developer tools: whether code of others can be kept in bounds here, and if not, what stands in the way."""

import asyncio
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Final

from dagi.assemble.diagnosis.report import Report, bad, good, odd
from dagi.assemble.installation import Installation
from dagi.assemble.tools import built_sandbox, runtime_place
from dagi.errors import SandboxUnavailable
from dagi.outbound import Client
from dagi.ports.clock import Clock
from dagi.ports.http import HttpFailure, HttpRequest
from dagi.targets.devtools.runtime import found_runtime
from dagi.targets.devtools.sandbox.trouble import advice

ANSWER_S: Final = 2.0
CHECK_S: Final = 30.0
_OFF: Final = "reading and writing files works, running tests, notebooks and git does not"
_APPARMOR: Final = Path("kernel/apparmor_restrict_unprivileged_userns")
_CLONE: Final = Path("kernel/unprivileged_userns_clone")
_MOST: Final = Path("user/max_user_namespaces")


async def about_devtools(installation: Installation, clock: Clock) -> AsyncGenerator[Report]:
    """Where they run, and whether the sandbox holds."""
    settings = installation.loaded.settings.devtools
    if settings.url is not None:
        yield await _elsewhere(settings.url)
        return
    if not settings.enabled:
        yield good("devtools", "off (devtools.enabled)")
        return
    try:
        async with asyncio.timeout(CHECK_S):
            await built_sandbox(installation, clock).check()
    except SandboxUnavailable as error:
        details = " ".join(getattr(error, "__notes__", ()))[:300]
        yield odd("sandbox", f"{error.message}{f' ({details})' if details else ''} Until then {_OFF}", advice(error))
        for report in causes(Path("/proc/sys"), Path("/proc/self/status"), as_root=os.geteuid() == 0):
            yield report
        return
    except TimeoutError:
        yield odd("sandbox", f"its test took over {CHECK_S:g} s", "look at what keeps the machine busy; until it passes, nothing is run")
        return
    yield good("sandbox", "it holds: its own test found no way out")
    try:
        found = found_runtime(runtime_place(installation))
    except SandboxUnavailable as error:
        yield odd("sandbox", error.message, "make it; until then git works and test runs and notebooks do not")
    else:
        yield good("sandbox", f"Python {found.version} is there for test runs and notebooks")


async def _elsewhere(url: str) -> Report:
    try:
        async with asyncio.timeout(ANSWER_S), Client() as http, http.open(HttpRequest(method="GET", url=f"{url}/health")) as response:
            if response.status == 200:
                return good("devtools", f"their service answers at {url} (devtools.url)")
    except (TimeoutError, HttpFailure):
        pass
    return bad("devtools", f"nothing answers at {url} (devtools.url)", "start it there: dagi serve devtools")


def causes(kernel: Path, status: Path, *, as_root: bool) -> Iterator[Report]:
    """What of the machine is known to stand in the way.

    Args:
        kernel: /proc/sys; `status`: /proc/self/status.
    """
    if not as_root and _number(kernel / _APPARMOR) == 1:
        fix = "load the profile deploy/apparmor/dagi-bwrap, or: sysctl kernel.apparmor_restrict_unprivileged_userns=0"
        yield odd("sandbox", "AppArmor keeps programs from making user namespaces (Ubuntu since 24.04 does so)", fix)
    if not as_root and _number(kernel / _CLONE) == 0:
        yield odd("sandbox", "ordinary users may not make user namespaces here", "sysctl kernel.unprivileged_userns_clone=1")
    if _number(kernel / _MOST) == 0:
        yield odd("sandbox", "no user namespace may be made here at all", "sysctl user.max_user_namespaces=15000")
    if _filtered(status):
        fix = (
            "in Docker start with --security-opt seccomp=deploy/docker/seccomp.json; under systemd leave RestrictNamespaces and a "
            "SystemCallFilter that holds no @mount out of the unit"
        )
        yield odd("sandbox", "a filter of system calls is on this process (Docker's default one, or systemd's)", fix)


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _filtered(status: Path) -> bool:
    """Whether the process is under a seccomp filter: proc(5), `Seccomp`, 2."""
    try:
        lines = status.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.split() == ["Seccomp:", "2"] for line in lines)
