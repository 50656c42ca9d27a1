"""From files, variables and options to one `Loaded`, or to one error that tells every mistake."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

from dagi.config.environment import DOTENV, Environment, capture
from dagi.config.marks import Branch, Scalar
from dagi.config.merging import merged
from dagi.config.mistakes import Mistake, choice, refusal
from dagi.config.origins import Origins
from dagi.config.reading import read_text, read_tree
from dagi.config.safety import Hazard, advice, hazards, unsafe, warnings
from dagi.config.schema import Settings
from dagi.config.validation import repeated, validate
from dagi.config.variables import overridden
from dagi.errors import ConfigError

DEFAULT_PROFILE = "dev"
_ROOM = Path(__file__).parent
_PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}\Z")


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force.

    Attributes:
        environment: the captured variables, and the secrets they lead to.
        files: every file that was read, for whoever watches them.
        warnings: what is allowed but probably not meant, one line each.
    """

    settings: Settings
    origins: Origins
    environment: Environment
    files: tuple[Path, ...]
    warnings: tuple[str, ...]

    def unsafe(self) -> list[str]:
        """Why staging or production must not start like this; one line a reason. Empty in development."""
        return unsafe(self.settings, self.origins, self.environment)

    def hazards(self) -> list[Hazard]:
        """The same, each with the reason."""
        return hazards(self.settings, self.environment)

    def advice(self) -> list[Hazard]:
        """What staging and production may start with, and their operator should have thought of. Empty in development."""
        return advice(self.settings, self.environment)


def load(
    profile: str | None = None,
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    options: Mapping[str, Scalar] | None = None,
) -> Loaded:
    """Read all layers: packaged defaults, the profile, the file, `DAGI__…` variables, options of the command line.

    Args:
        profile: a name; None means `dev`, or no profile at all where there is a `path`, which is production.
        path: the operator's own file.
        environ: stands in for the process's environment.
        cwd: stands in for the working directory.
        options: dotted keys and values of the command line, for example `{"server.port": 9200}`.

    Raises:
        ConfigError: with every mistake in the message, one line each.
    """
    here = Path.cwd() if cwd is None else cwd
    environment = capture(environ, here)
    files = _files(profile, path, here)
    layers, mistakes = _layers(files, environment, here)
    tree, wrong = overridden(merged(layers), environment.variables(), options or {})
    settings, invalid = validate(tree, environment)
    mistakes += [*wrong, *invalid]
    if settings is None or mistakes:
        order = {_shown(file, here): index for index, file in enumerate(files)}
        mistakes.sort(key=lambda mistake: (order.get(mistake.mark.file, len(order)), mistake.mark.file, mistake.mark.line or 0))
        raise refusal([str(mistake) for mistake in mistakes])
    origins = Origins(tree)
    dotenv = here / DOTENV
    return Loaded(
        settings=settings,
        origins=origins,
        environment=environment,
        files=(*files, dotenv) if dotenv.is_file() else files,
        warnings=tuple(warnings(settings, origins, environment)),
    )


def profiles(cwd: Path | None = None) -> dict[str, Path]:
    """Every profile there is, by name. One in the working directory hides the packaged one of the same name."""
    folders = (_ROOM / "profiles", (Path.cwd() if cwd is None else cwd) / "config" / "profiles")
    return {file.stem: file for folder in folders for file in sorted(folder.glob("*.yml")) if _PROFILE_NAME.match(file.stem)}


def _files(profile: str | None, path: Path | None, here: Path) -> tuple[Path, ...]:
    files = [_ROOM / "defaults.yml"]
    name = DEFAULT_PROFILE if profile is None and path is None else profile
    if name is not None:
        found = profiles(here)
        if name not in found:
            raise ConfigError(f"--profile {name!r:.80}: there is no such profile; {choice(name[:64], found)}")
        files.append(found[name])
    if path is not None:
        files.append(here / path)
    return tuple(files)


def _layers(files: tuple[Path, ...], environment: Environment, here: Path) -> tuple[list[Branch], list[Mistake]]:
    """Every file's tree. Files that cannot be read at all are refused together: judging the rest without them would mislead."""
    layers: list[Branch] = []
    mistakes: list[Mistake] = []
    unreadable: list[str] = []
    for file in files:
        shown = _shown(file, here)
        try:
            tree = read_tree(read_text(file, shown), shown, environment.variables())
        except ConfigError as error:
            unreadable.append(error.message)
        else:
            layers.append(tree.root)
            mistakes += (*tree.mistakes, *repeated(tree.root))
    if unreadable:
        raise refusal([*unreadable, *(str(mistake) for mistake in mistakes)])
    return layers, mistakes


def _shown(file: Path, here: Path) -> str:
    """The file as the operator would name it: from the working directory, or from the package."""
    if file.is_relative_to(_ROOM):
        return str(file.relative_to(_ROOM.parent.parent))
    return str(file.relative_to(here)) if file.is_relative_to(here) else str(file)
