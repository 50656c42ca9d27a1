"""The environment, captured once: the only place that reads it.

Real variables win over those of `.env`. Values never appear in a repr or a message.
"""

import io
import os
import re
from collections.abc import Mapping
from pathlib import Path

from dotenv.parser import parse_stream

from dagi.config.reading import read_text
from dagi.errors import ConfigError

DOTENV = ".env"
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")


class Environment:
    """A frozen snapshot of the environment and `.env`, and the secrets it leads to.

    Args:
        values: the variables.
        cwd: where relative paths of secret files begin.
    """

    __slots__ = ("_cwd", "_values")

    def __init__(self, values: Mapping[str, str], cwd: Path) -> None:
        self._values = dict(values)
        self._cwd = cwd

    def __repr__(self) -> str:
        return f"Environment({len(self._values)} variables)"

    def get(self, name: str) -> str | None:
        """The variable's value, or None."""
        return self._values.get(name)

    def variables(self) -> Mapping[str, str]:
        """A copy of all of them. It holds secrets: look up, never print."""
        return dict(self._values)

    def secret(self, settings: Mapping[str, object], key: str = "api_key") -> str | None:
        """The secret some settings lead to, such as a provider's, through `<key>_file` or `<key>_env`; None where it is not configured.

        The file wins over the variable: a layer that adds a file to a packaged provider means it.

        Raises:
            ConfigError: the secret stands in the settings themselves, its file cannot be read, or it cannot be a secret.
        """
        if key in settings:
            raise ConfigError(inline(key))
        file, variable = settings.get(f"{key}_file"), settings.get(f"{key}_env")
        if isinstance(file, str):
            shown = f"the file {file} of {key}_file"
            return _usable(read_text(self._cwd / file, shown), shown)
        if isinstance(variable, str):
            if not _VARIABLE.match(variable):
                raise ConfigError(f"{key}_env takes the name of a variable, such as MY_{key.upper()}, not the secret itself")
            return _usable(self._values.get(variable, ""), f"the variable {variable} of {key}_env")
        return None


def inline(key: str) -> str:
    """What to say about a secret written into a configuration file."""
    return (
        f"a secret does not belong into the configuration; write {key}_env: NAME_OF_A_VARIABLE or {key}_file: PATH instead, and "
        "replace the secret if others could read this"
    )


def capture(environ: Mapping[str, str] | None, cwd: Path) -> Environment:
    """The environment now; `environ` stands in for the process's own.

    Raises:
        ConfigError: `.env` is there but cannot be read or understood.
    """
    real = os.environ if environ is None else environ  # noqa: TID251 - this is the one place
    return Environment({**_dotenv(cwd / DOTENV), **real}, cwd)


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    values: dict[str, str] = {}
    # Not `dotenv_values`: it passes over broken lines in silence and would itself read the process's environment to expand `$`.
    for binding in parse_stream(io.StringIO(read_text(path, DOTENV))):
        if binding.error:
            raise ConfigError(f"{DOTENV}:{binding.original.line}: write NAME=value, one a line; text with spaces in quotes")
        if binding.key is not None and binding.value is not None:
            values[binding.key] = binding.value
    return values


def _usable(text: str, shown: str) -> str | None:
    """The secret without the newline editors add. It goes into HTTP headers, where anything but ASCII without spaces breaks out."""
    secret = text.strip("\r\n")
    if not secret.strip():
        return None
    if not secret.isascii() or not secret.isprintable() or " " in secret:
        raise ConfigError(f"{shown} holds a space, a line break or another character that no key has")
    return secret
