"""What is in force, as `dagi config show` tells it: without secrets, and with the origin of every value where asked."""

import json
import re
import typing
from collections.abc import Iterator

from dagi.config.loading import Loaded
from dagi.config.marks import KeyPath, dotted
from dagi.config.mistakes import redacted
from dagi.config.origins import Origins
from dagi.config.scalars import resolve

_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*\Z")
_INDENT = "  "
_COMMENTS_AT = 60


def as_data(loaded: Loaded) -> dict[str, object]:
    """The settings as JSON values, secrets replaced by `***`."""
    dumped: dict[str, object] = loaded.settings.model_dump(mode="json")
    return {key: _clean(value, (key,), loaded.origins) for key, value in dumped.items()}


def origins_data(loaded: Loaded) -> dict[str, str]:
    """Where each single value came from, by its path: `file:line`, `env DAGI__…`, `option …` or `default`."""
    return {dotted(path): _origin(path, loaded.origins) for _, path in _lines(as_data(loaded), (), "") if path is not None}


def as_text(loaded: Loaded, *, with_origin: bool = False) -> str:
    """The settings as YAML that loads again, secrets replaced by `***`; each value's origin in a comment beside it."""
    shown: list[str] = []
    for text, path in _lines(as_data(loaded), (), ""):
        comment = f"  # {_origin(path, loaded.origins)}" if with_origin and path is not None else ""
        shown.append(f"{text:<{_COMMENTS_AT}}{comment}" if comment else text)
    return "\n".join(shown) + "\n"


def _origin(path: KeyPath, origins: Origins) -> str:
    mark = origins.source(path)
    return " ".join((str(mark), *(f"${{{name}}}" for name in mark.variables)))


def _clean(value: object, path: KeyPath, origins: Origins) -> object:
    if isinstance(value, dict):
        entries = typing.cast("dict[str, object]", value)
        return {key: _clean(child, (*path, key), origins) for key, child in entries.items()}
    if isinstance(value, list):
        children = typing.cast("list[object]", value)
        return [_clean(child, (*path, index), origins) for index, child in enumerate(children)]
    return redacted(value, path, origins.source(path)) if isinstance(value, str) else value


def _lines(value: object, path: KeyPath, indent: str) -> Iterator[tuple[str, KeyPath | None]]:
    """The YAML lines of a mapping or list, each with the path of the single value it shows, if it shows one."""
    if isinstance(value, dict):
        for key, child in typing.cast("dict[str, object]", value).items():
            where = (*path, key)
            if _is_block(child):
                yield f"{indent}{_text(key)}:", None
                yield from _lines(child, where, indent + _INDENT)
            else:
                yield f"{indent}{_text(key)}: {_scalar(child)}", where
    else:
        for index, child in enumerate(typing.cast("list[object]", value)):
            where = (*path, index)
            if _is_block(child):
                (first, first_path), *rest = _lines(child, where, indent + _INDENT)
                yield f"{indent}- {first[len(indent) + len(_INDENT) :]}", first_path
                yield from rest
            else:
                yield f"{indent}- {_scalar(child)}", where


def _is_block(value: object) -> bool:
    return isinstance(value, dict | list) and bool(typing.cast("object", value))


def _scalar(value: object) -> str:
    """One value on one line, so that reading it gives the same value."""
    # Variables are filled in into values only, so keys need no second dollar.
    return _text(value.replace("${", "$${")) if isinstance(value, str) else json.dumps(value)


def _text(text: str) -> str:
    if _PLAIN.match(text) and isinstance(resolve(text), str):
        return text
    # JSON's escapes are YAML's too, but for characters outside the first plane, which JSON writes in two halves.
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(letter if letter.isprintable() else f"\\U{ord(letter):08x}" for letter in quoted)
