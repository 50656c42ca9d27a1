"""The sandbox's test of itself: a program inside tries what must not work."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

from dagi.targets.devtools.sandbox.job import Bounds, Finished, Job
from dagi.targets.devtools.sandbox.trouble import unavailable

Run = Callable[[Job], AbstractAsyncContextManager[Finished]]

_BOUNDS: Final = Bounds(wall_s=10, cpu_s=5, memory=256 << 20, processes=32, output=16 << 10, disk=8 << 20, files=500)
# Each line says what was found, and `leak` where it is too much.
_SCRIPT: Final = """
leak() { echo "leak $1"; }
[ "$(id -u)" = 65534 ] || leak user
[ ! -e "$1" ] || leak files
for name in /*; do
  case "$name" in
    /bin | /dev | /etc | /lib | /lib32 | /lib64 | /libx32 | /opt | /proc | /sbin | /tmp | /usr | /workspace | "$2") ;;
    *) leak "$name" ;;
  esac
done
[ "$(ls /etc | wc -l)" -lt 12 ] || leak settings
(: > /usr/dagi-probe) 2>/dev/null && leak usr
(: > /dagi-probe) 2>/dev/null && leak root
(: > /etc/dagi-probe) 2>/dev/null && leak etc
(: > /workspace/probe) 2>/dev/null || leak workspace
unshare --user true 2>/dev/null && leak namespaces
mount -t tmpfs none /tmp 2>/dev/null && leak mounts
[ "$(sed -n 's/^CapEff:\\t0*//p' /proc/self/status)" = "" ] || leak capabilities
grep -q '^NoNewPrivs:.1' /proc/self/status || leak privileges
grep -q '^Seccomp:.2' /proc/self/status || leak filter
[ "$(ls -d /proc/[0-9]* | wc -l)" -lt 12 ] || leak processes
[ "$(ls /sys 2>/dev/null | wc -l)" = 0 ] || leak sys
[ "$(tail -n +3 /proc/net/dev | cut -d: -f1 | tr -d ' ')" = lo ] || leak network
[ -z "$DAGI_PROBE" ] || leak environment
echo held
"""


async def proven(run: Run, home: Path | None) -> None:
    """Run the test.

    Args:
        home: where the interpreter that is shown lies.

    Raises:
        SandboxUnavailable: it cannot be set up, or does not hold.
    """
    with NamedTemporaryFile(prefix="dagi-probe-") as outside:
        # The interpreter is shown where it lies, which may be in somebody's home.
        beside = "" if home is None else f"/{home.parts[1]}"
        job = Job(command=("sh", "-c", _SCRIPT, "sh", outside.name, beside), bounds=_BOUNDS)
        async with run(job) as finished:
            said = finished.stdout.decode(errors="replace").split("\n")
            if finished.ending != "exit" or said != ["held", ""]:
                found = ", ".join(line for line in said if line.startswith("leak ")) or f"{finished.ending}: {finished.stderr[-500:]!r}"
                raise unavailable("leaks", found)
