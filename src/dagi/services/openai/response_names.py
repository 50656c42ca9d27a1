"""Tools in namespaces, as agents send them in the Responses API. In a chat completion, a tool's name says both. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, cast
from zlib import crc32

from dagi.errors import Invalid
from dagi.services.openai.answers import Json

# No vendor takes a longer name.
_LONGEST: Final = 64

# Namespace and name of a tool, by its name in a chat completion.
Names = Mapping[str, tuple[str, str]]


def chat_name(namespace: object, name: str) -> str:
    """What a tool is called in a chat completion; the same in every request, so that a conversation stays what it was."""
    if not isinstance(namespace, str) or not namespace:
        return name
    joined = f"{namespace}__{name}"
    return joined if len(joined) <= _LONGEST else f"{joined[: _LONGEST - 9]}_{crc32(joined.encode('utf-8', 'replace')):08x}"


def spread(tools: Sequence[object], *, namespaces: bool) -> Iterator[tuple[str, object]]:
    """Each tool with the field it stands in; those of a namespace under their names in a chat completion.

    Args:
        namespaces: whether the answer can tell the names apart again; otherwise a namespace is a tool like others.

    Raises:
        Invalid: a namespace is not of its form; names the field.
    """
    for place, tool in enumerate(tools):
        field = f"tools[{place}]"
        if namespaces and isinstance(tool, dict) and tool.get("type") == "namespace":
            yield from _within(cast("Json", tool), field)
        else:
            yield field, tool


def names_of(tools: object) -> Names:
    """The tools in namespaces of a request that has been read."""
    given = cast("list[object]", tools) if isinstance(tools, list) else []
    spaces = [cast("Json", tool) for tool in given if isinstance(tool, dict) and tool.get("type") == "namespace"]
    pairs = [(str(space["name"]), str(cast("Json", tool)["name"])) for space in spaces for tool in cast("list[object]", space["tools"])]
    return {chat_name(space, name): (space, name) for space, name in pairs}


def _within(space: Json, field: str) -> Iterator[tuple[str, object]]:
    name, tools = space.get("name"), space.get("tools")
    if not isinstance(name, str) or not name:
        raise Invalid(f"{field}.name must be a text.", field=f"{field}.name")
    if not isinstance(tools, list):
        raise Invalid(f"{field}.tools must be a list.", field=f"{field}.tools")
    for place, given in enumerate(cast("list[object]", tools)):
        inner = f"{field}.tools[{place}]"
        tool = cast("Json", given) if isinstance(given, dict) else {}
        own = tool.get("name")
        if not isinstance(own, str):
            raise Invalid(f"{inner}.name must be a text.", field=f"{inner}.name")
        yield inner, {**tool, "name": chat_name(name, own)}
