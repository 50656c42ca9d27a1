"""Why there is no sandbox, and what an operator can do about it."""

from collections.abc import Mapping
from typing import Final, Literal

from dagi.errors import SandboxUnavailable

Reason = Literal["no_bubblewrap", "no_programs", "no_namespaces", "no_mounts", "unknown_machine", "no_python", "leaks", "broken"]

_RETRY_AFTER_S: Final = 60
_SENTENCES: Final[Mapping[Reason, str]] = {
    "no_bubblewrap": "the program bwrap (bubblewrap) is not installed",
    "no_programs": "programs of the base system (sh, tar, prlimit, setpriv, unshare) are missing",
    "no_namespaces": "this machine does not let the stack make user namespaces",
    "no_mounts": "the stack runs as root, but may not mount anything",
    "unknown_machine": "no filter of system calls is known for this kind of machine",
    "no_python": "the Python environment for it is not installed",
    "leaks": "its own test found a way out of it",
    "broken": "it could not be set up",
}
_ADVICE: Final[Mapping[Reason, str]] = {
    "no_bubblewrap": "Install it: apt-get install bubblewrap.",
    "no_programs": "Install util-linux, tar and a POSIX shell.",
    "no_namespaces": "In Docker start with the project's seccomp profile (deploy/docker/seccomp.json) instead of the default one. "
    "On Ubuntu load the project's AppArmor profile (deploy/apparmor/dagi-bwrap), or set kernel.apparmor_restrict_unprivileged_userns=0. "
    "Under systemd do not set RestrictNamespaces. Everywhere user.max_user_namespaces must be above 0.",
    "no_mounts": "Run the stack as an ordinary user, which is safer anyway; or give the container CAP_SYS_ADMIN.",
    "unknown_machine": "Run the devtools service on x86-64 or 64-bit ARM.",
    "no_python": "`make serve` installs it; by hand: scripts/sandbox.sh .venv. Then start the stack again.",
    "leaks": "Do not switch it off: report it. The log says which part of the test failed.",
    "broken": "The log says what bubblewrap answered.",
}


def unavailable(reason: Reason, detail: str = "") -> SandboxUnavailable:
    """The error for callers. `detail` is for the operator: it is in the error's `__notes__`, which callers do not see."""
    sentence = f"Code cannot be run here: {_SENTENCES[reason]}. The operator's `dagi doctor` tells what to do."
    error = SandboxUnavailable(sentence, reason=reason, retry_after_s=_RETRY_AFTER_S)
    if detail:
        error.add_note(detail)
    return error


def advice(error: SandboxUnavailable) -> str:
    """What an operator can do."""
    reason = error.facts.get("reason")
    return next((text for known, text in _ADVICE.items() if known == reason), _ADVICE["broken"])


def read_failure(stderr: str, *, as_root: bool) -> Reason:
    """Why the launch failed, from what its programs said."""
    said = stderr.lower()
    if "bwrap" in said and "not found" in said:
        return "no_bubblewrap"
    if "not found" in said:
        return "no_programs"
    if as_root and ("unshare:" in said or "mount:" in said):
        return "no_mounts"
    if any(word in said for word in ("namespace", "uid map", "uid_map", "permission denied", "operation not permitted")):
        return "no_namespaces"
    return "broken"
