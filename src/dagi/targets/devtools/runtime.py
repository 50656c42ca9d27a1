"""The Python that code of others finds in the sandbox: the stack's own interpreter, with an environment that is not the stack's."""

import re
import sys
from pathlib import Path

import msgspec

from dagi.errors import SandboxUnavailable

# Without these no test run and no notebook works; what else there is, locks/sandbox.txt says.
_NEEDED = ("pytest", "coverage", "nbclient", "ipykernel")
_ADVICE = "`make serve` makes it, or: scripts/sandbox.sh .venv. Where it lies elsewhere, `devtools.runtime` in the configuration names it."


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """Where it lies on the host.

    Attributes:
        environment: a virtual environment made with the stack's own interpreter; inside at `/opt/dagi/python`.
        version: of Python, `3.11` for example.
    """

    environment: Path
    version: str


def found_runtime(environment: Path) -> Runtime:
    """The environment `environment` (as `python -m venv` or uv make one) as a runtime.

    Raises:
        SandboxUnavailable: there is none, it lacks something, or it was made with another interpreter than the stack's, which is the one
            that the sandbox shows. Without a path of the host: callers see it.
    """
    try:
        text = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SandboxUnavailable(f"The sandbox's Python environment is not there. {_ADVICE}") from error
    said = dict(re.findall(r"^\s*(\w+)\s*=\s*(.+?)\s*$", text, re.MULTILINE))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    made_with = said.get("version_info") or said.get("version") or "none"
    # What is linked to may be elsewhere: /bin of a merged /usr, a version named by its series.
    home = Path(said.get("home", "")).resolve().parent
    if not f"{made_with}.".startswith(f"{version}.") or home != Path(sys.base_prefix).resolve():
        raise SandboxUnavailable(f"The sandbox's Python environment was made with another Python than the stack's {version}. {_ADVICE}")
    packages = environment / "lib" / f"python{version}" / "site-packages"
    missing = [name for name in _NEEDED if not (packages / name).is_dir()]
    if missing:
        raise SandboxUnavailable(f"The sandbox's Python environment lacks {', '.join(missing)}. {_ADVICE}")
    return Runtime(environment=environment.resolve(), version=version)
