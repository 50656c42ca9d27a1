"""The Python that code of others finds in the sandbox: the stack's own interpreter, with an environment that is not the stack's."""

import re
from pathlib import Path

import msgspec

from dagi.errors import SandboxUnavailable

# Without these no test run and no notebook works; what else there is, locks/sandbox.txt says.
_NEEDED = ("pytest", "coverage", "nbclient", "ipykernel")
_ADVICE = "`make serve` makes it, or: scripts/sandbox.sh .venv. Where it lies elsewhere, `devtools.runtime` in the configuration names it."


class Runtime(msgspec.Struct, frozen=True, kw_only=True):
    """Where it lies on the host. Both directories are read-only inside.

    Attributes:
        base: the interpreter's installation (`sys.base_prefix`); inside at the same path, for it is built in.
        packages: the environment's site-packages.
        version: of Python, `3.11` for example.
    """

    base: Path
    packages: Path
    version: str

    @property
    def python(self) -> Path:
        """The interpreter."""
        return self.base / "bin" / f"python{self.version}"


def found_runtime(environment: Path) -> Runtime:
    """The environment `environment` (as `python -m venv` or uv make one) as a runtime.

    Raises:
        SandboxUnavailable: there is none, it lacks something, or its interpreter is gone. Without a path of the host: callers see it.
    """
    try:
        text = (environment / "pyvenv.cfg").read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SandboxUnavailable(f"The sandbox's Python environment is not there. {_ADVICE}") from error
    said = dict(re.findall(r"^\s*(\w+)\s*=\s*(.+?)\s*$", text, re.MULTILINE))
    version = re.match(r"3\.\d+", said.get("version_info") or said.get("version") or "")
    if version is None or not said.get("home"):
        raise SandboxUnavailable(f"The sandbox's Python environment is not one: its pyvenv.cfg names no version or no home. {_ADVICE}")
    # What is linked to may be elsewhere: /bin of a merged /usr, a version named by its series.
    base = Path(said["home"]).resolve().parent
    runtime = Runtime(base=base, packages=environment.resolve() / "lib" / f"python{version[0]}" / "site-packages", version=version[0])
    missing = [name for name in _NEEDED if not (runtime.packages / name).is_dir()]
    if missing:
        raise SandboxUnavailable(f"The sandbox's Python environment lacks {', '.join(missing)}. {_ADVICE}")
    if not runtime.python.is_file():
        raise SandboxUnavailable(f"The Python {version[0]} that the sandbox's environment was made with is gone. {_ADVICE}")
    return runtime
