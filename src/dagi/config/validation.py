"""A merged tree becomes `Settings`, or a list of everything that is wrong with it."""

import typing
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ValidationError

from dagi.config.environment import Environment, inline
from dagi.config.marks import Branch, Items, KeyPath, Leaf, Node, plain, walk
from dagi.config.merging import BY_NAME, name_of
from dagi.config.mistakes import Mistake, choice, described, nearest, unknown_key
from dagi.config.origins import Origins
from dagi.config.schema import Settings
from dagi.config.section import named
from dagi.errors import ConfigError

_MAPPING = "must be a mapping (key: value)"
_WANTED = {
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "string_type": "must be text",
    "string_too_short": "must not be empty",
    "string_too_long": "is too long",
    "model_type": _MAPPING,
    "mapping_type": _MAPPING,
    "dict_type": _MAPPING,
    "tuple_type": "must be a list",
}
_PROVIDERS, _RULES, _KEY = "llm_providers", "routing_rules", "api_key"


def validate(tree: Branch, environment: Environment) -> tuple[Settings | None, list[Mistake]]:
    """Check everything `config` knows about; providers' and rules' own keys are checked by those who own them.

    Nothing is said about values whose mistake was reported when they were read.
    """
    origins = Origins(tree)
    broken = {path for path, node in walk(tree) if isinstance(node, Leaf) and node.broken}
    mistakes = [*_rules(tree), *_secrets(tree, environment), *_password(tree, environment)]
    settings: Settings | None = None
    try:
        settings = Settings.model_validate(plain(tree))
    except ValidationError as error:
        mistakes += _explained(error, origins)
    return settings, [mistake for mistake in mistakes if mistake.path not in broken]


def repeated(layer: Branch) -> Iterator[Mistake]:
    """Providers and chains that one layer names twice; which of the two was meant cannot be known."""
    for (key,) in sorted(BY_NAME):
        yield from _repeated(layer, key)


def _repeated(layer: Branch, key: str) -> Iterator[Mistake]:
    first: dict[str, int | None] = {}
    for path, entry in _entries(layer, key):
        name = name_of(entry)
        if name is None:
            continue
        if name in first:
            message = f"{described(name, path, entry.mark)} stands here twice, first in line {first[name]}; give one another name"
            yield Mistake(entry.mark, (*path, "name"), message)
        else:
            first[name] = entry.mark.line


def _entries(tree: Branch, key: str) -> Iterator[tuple[KeyPath, Node]]:
    node = tree.entries.get(key)
    if isinstance(node, Items):
        for index, child in enumerate(node.nodes):
            yield (key, index), child


def _rules(tree: Branch) -> Iterator[Mistake]:
    for path, rule in _entries(tree, _RULES):
        if not isinstance(rule, Branch):
            continue
        where = (*path, "name")
        node = rule.entries.get("name")
        if node is None:
            yield Mistake(rule.mark, where, "missing; a rule needs a name, which logs and answers tell")
            continue
        value = plain(node)
        if not isinstance(value, str):
            yield Mistake(node.mark, where, f"must be text, not {described(value, where, node.mark)}")
        elif complaint := _name_problem(value):
            yield Mistake(node.mark, where, complaint)


def _name_problem(name: str) -> str | None:
    try:
        named(name)
    except ValueError as error:
        return str(error)
    return None


def _secrets(tree: Branch, environment: Environment) -> Iterator[Mistake]:
    for path, entry in _entries(tree, _PROVIDERS):
        config = entry.entries.get("config") if isinstance(entry, Branch) else None
        if not isinstance(config, Branch):
            continue
        if _KEY in config.entries:
            yield Mistake(config.entries[_KEY].mark, (*path, "config", _KEY), inline(_KEY))
            continue
        try:
            environment.secret({key: plain(node) for key, node in config.entries.items()})
        except ConfigError as error:
            key = f"{_KEY}_file" if f"{_KEY}_file" in config.entries else f"{_KEY}_env"
            yield Mistake(config.entries[key].mark, (*path, "config", key), error.message)


def _password(tree: Branch, environment: Environment) -> Iterator[Mistake]:
    section = tree.entries.get("database")
    if not isinstance(section, Branch) or "password" in section.entries:
        return  # told as an unknown key, with those that are meant
    try:
        environment.secret({key: plain(node) for key, node in section.entries.items()}, "password")
    except ConfigError as error:
        key = "password_file" if "password_file" in section.entries else "password_env"
        yield Mistake(section.entries[key].mark, ("database", key), error.message)


def _explained(error: ValidationError, origins: Origins) -> Iterator[Mistake]:
    for problem in error.errors(include_url=False):
        kind, path = problem["type"], problem["loc"]
        if path[-1:] == ("[key]",):
            # Pydantic's word for the key itself, which stands before it.
            path = path[:-1]
        found: object = problem["input"]
        context: Mapping[str, object] = problem.get("ctx", {})
        last = path[-1] if path else ""
        if kind == "missing":
            message = _missing(str(last), path[:-1], found)
        elif kind == "extra_forbidden":
            message = unknown_key(str(last), _keys(path[:-1]))
        else:
            message = _wrong(kind, path, found, context, origins)
        if message is not None:
            yield Mistake(origins.mark(path), path, message)


def _missing(key: str, parent: KeyPath, siblings: object) -> str | None:
    """Silence where a misspelt key was meant: that is one mistake, and it is told already."""
    allowed = _keys(parent)
    names = typing.cast("dict[str, object]", siblings)
    if any(nearest(name, allowed) == key for name in names if name not in allowed):
        return None
    return f'missing; every entry of this list needs "{key}"'


def _wrong(kind: str, path: KeyPath, found: object, context: Mapping[str, object], origins: Origins) -> str:
    value = described(found, path, origins.mark(path))
    if kind == "literal_error":
        return f"cannot be {value}; {choice(str(found), [str(word) for word in typing.get_args(_annotation(path))])}"
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']}, not {value}"
    if kind == "less_than_equal":
        return f"must be at most {context['le']}, not {value}"
    if kind == "value_error":
        return str(context["error"])
    wanted = _WANTED.get(kind, "is not what belongs here")
    if found is None:
        return f"{wanted}; nothing stands here: write a value, or remove the line"
    hint = "; put it in quotes" if kind == "string_type" and not isinstance(found, dict | list) else ""
    return f"{wanted}, not {value}{hint}"


def _keys(path: KeyPath) -> list[str]:
    """The keys that are allowed at a place."""
    model = _model_in(_annotation(path))
    return [] if model is None else list(model.model_fields)


def _annotation(path: KeyPath) -> object:
    """The type that belongs at a place of the schema. An index leads to a list's entries, which the list's type tells already."""
    annotation: object = Settings
    for part in path:
        model = _model_in(annotation)
        if isinstance(part, str) and model is not None and part in model.model_fields:
            annotation = model.model_fields[part].annotation
    return annotation


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model a type is or holds, as in `tuple[Provider, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for inner in typing.get_args(annotation) if (model := _model_in(inner)) is not None), None)
