"""How the sandbox is started: the command lines of bubblewrap and of what prepares it. Pure, but for a look at the base system."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from dagi.targets.devtools.sandbox.job import HOME, REPORT_FD, TOOLS, WORKSPACE, Bounds, Job

# Who it is inside, whoever it is outside.
INSIDE_USER: Final = 65_534
INFO_FD: Final = 4
FILTER_FD: Final = 5
# Small files of /etc, which the sandbox reads from these descriptors.
ETC: Final[Mapping[str, str]] = {
    "passwd": f"nobody:x:{INSIDE_USER}:{INSIDE_USER}:nobody:{HOME}:/bin/sh\n",
    "group": f"nogroup:x:{INSIDE_USER}:\n",
    "hosts": "127.0.0.1 localhost sandbox\n::1 localhost\n",
}
FIRST_ETC_FD: Final = FILTER_FD + 1
# Bubblewrap's own arguments are read from here, for its command line can be seen inside.
ARGUMENTS_FD: Final = FIRST_ETC_FD + len(ETC)
# Programs of the base system. Those before the bar are needed by everyone, the others only where root starts the sandbox.
PROGRAMS: Final = ("sh", "tar", "prlimit", "nice")
ROOT_PROGRAMS: Final = ("unshare", "mount", "setpriv")
_PYTHON: Final = f"{TOOLS}/python"
_INSIDE: Final = f"{TOOLS}/inside"
_STAGE: Final = "/run"
_PATH: Final = f"{_PYTHON}/bin:/usr/local/bin:/usr/bin:/bin"
_NAMES: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
# What programs need of /etc without a network, and what more with one.
_SYSTEM: Final = ("ld.so.cache", "alternatives", "localtime", "mime.types")
_NETWORK: Final = ("resolv.conf", "nsswitch.conf", "services", "ssl", "ca-certificates")
# More room than its bound, so that who goes over it is seen to do so.
_ROOM: Final = 1 << 20
# The first line of the report says that everything is mounted, the second that the command begins.
BEGUN: Final = b"\n"
_BOOT: Final = (
    f"exec {INFO_FD}>&- {FILTER_FD}<&- 6<&- 7<&- 8<&- 9<&-; printf '\\n' >&{REPORT_FD}; "
    f'tar -x -i -p -C / -f - && cd "$1" && shift && printf \'\\n\' >&{REPORT_FD} && exec "$@" </dev/null'
)


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """What of this machine is in every sandbox.

    Attributes:
        bubblewrap: the program.
        disables_namespaces: this version of it can forbid further user namespaces.
        python: the environment with pytest and the like, and `home`, where its interpreter is; None where there is none.
        inside: scripts of ours.
        user: as whom it runs outside where root starts it; None where it is started by an ordinary user, as that one.
    """

    bubblewrap: str
    disables_namespaces: bool
    python: Path | None
    home: Path | None
    inside: Path | None
    user: int | None


class Launch(msgspec.Struct, frozen=True):
    """How a job is started.

    Attributes:
        line: the command line. Its program expects descriptors 0 to 3 and those named above.
        arguments: what bubblewrap reads from `ARGUMENTS_FD`.
    """

    line: list[str]
    arguments: bytes


def launch(base: Base, job: Job, joins: Sequence[str] = ()) -> Launch:
    """How the job is started.

    Args:
        joins: the files of control groups into which the process writes itself first.
    """
    shown = _shown(base)
    line = [base.bubblewrap, "--args", str(ARGUMENTS_FD), "sh", "-c", _BOOT, "sh", job.directory, *_limited(job.bounds), *job.command]
    script = "".join(f"echo 0 > {shlex.quote(path)} && " for path in joins)
    if base.user is None:
        sources = {inside: str(path) for inside, path in shown.items()}
        return Launch(["sh", "-c", f'{script}exec nice -n 10 "$@"', "sh", *line], _arguments(base, job, sources, counted=bool(joins)))
    # Root's own files may lie where nobody else may go, so they are mounted at places that are open, seen by this process alone.
    script += f"mount -t tmpfs -o mode=755 dagi {_STAGE}"
    for number, path in enumerate(shown.values()):
        script += f" && mkdir {_STAGE}/{number} && mount --bind {shlex.quote(str(path))} {_STAGE}/{number}"
    user = str(base.user)
    script += f' && exec nice -n 10 setpriv --reuid {user} --regid {user} --clear-groups --inh-caps=-all "$@"'
    sources = {inside: f"{_STAGE}/{number}" for number, inside in enumerate(shown)}
    arguments = _arguments(base, job, sources, counted=bool(joins))
    return Launch(["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *line], arguments)


def _shown(base: Base) -> dict[str, Path]:
    """Directories of the stack that are shown read-only, by where they are inside."""
    shown: dict[str, Path] = {}
    if base.python is not None:
        shown[_PYTHON] = base.python
    if base.home is not None and not base.home.is_relative_to("/usr"):
        shown[str(base.home)] = base.home
    if base.inside is not None:
        shown[_INSIDE] = base.inside
    return shown


def _arguments(base: Base, job: Job, sources: Mapping[str, str], *, counted: bool) -> bytes:
    arguments = ["--unshare-all", *(["--share-net"] if job.network else [])]
    arguments += ["--disable-userns"] if base.disables_namespaces else []
    arguments += ["--unshare-user", "--uid", str(INSIDE_USER), "--gid", str(INSIDE_USER), "--hostname", "sandbox"]
    arguments += ["--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv"]
    for name, value in {**_environment(), **job.environment}.items():
        arguments += ["--setenv", name, value]
    arguments += ["--ro-bind", "/usr", "/usr", *_system(Path("/"), network=job.network)]
    for number, name in enumerate(ETC):
        arguments += ["--perms", "0444", "--file", str(FIRST_ETC_FD + number), f"/etc/{name}"]
    for inside, source in sources.items():
        arguments += ["--ro-bind", source, inside]
    room = ["--size", str(job.bounds.disk + _ROOM), "--tmpfs"]
    arguments += ["--proc", "/proc", "--dev", "/dev"]
    # Mapping /dev/zero makes memory that nobody outside can count; /dev/full gives zeros too, but cannot be mapped.
    arguments += [] if counted else ["--dev-bind", "/dev/full", "/dev/zero"]
    arguments += [*room, "/dev/shm", "--remount-ro", "/dev", *room, "/tmp", "--dir", HOME]  # noqa: S108
    arguments += [*room, WORKSPACE, "--remount-ro", "/", "--chdir", WORKSPACE]
    arguments += ["--seccomp", str(FILTER_FD), "--info-fd", str(INFO_FD)]
    return b"".join(argument.encode("utf-8", "surrogateescape") + b"\0" for argument in arguments)


def _environment() -> dict[str, str]:
    return {
        "PATH": _PATH,
        "HOME": HOME,
        "TMPDIR": "/tmp",  # noqa: S108 - the sandbox's own
        "USER": "nobody",
        "LOGNAME": "nobody",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "MPLCONFIGDIR": f"{HOME}/matplotlib",
    }


def _system(root: Path, *, network: bool) -> list[str]:
    """The base system: what lies beside /usr on a machine that has merged it, and what has not."""
    arguments: list[str] = []
    for name in _NAMES:
        path = root / name
        if path.is_symlink():
            arguments += ["--symlink", str(path.readlink()), f"/{name}"]
        elif path.is_dir():
            arguments += ["--ro-bind", f"/{name}", f"/{name}"]
    for name in (*_SYSTEM, *(_NETWORK if network else ())):
        if (root / "etc" / name).exists():
            arguments += ["--ro-bind", f"/etc/{name}", f"/etc/{name}"]
    return arguments


def _limited(bounds: Bounds) -> list[str]:
    """Bounds of each process. They are set inside, where `nproc` counts the sandbox's own processes alone."""
    limits = {
        "nproc": bounds.processes,
        "fsize": bounds.file,
        "nofile": bounds.open_files,
        # What is written to and belongs to one process alone; address space that is only reserved, as by Node, does not count.
        "data": bounds.memory,
        "cpu": max(int(bounds.cpu_s), 1),
        "core": 0,
    }
    return ["prlimit", *(f"--{name}={value}:{value}" for name, value in limits.items()), "--"]
