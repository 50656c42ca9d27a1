"""What tools take and give, as the API description tells it: each tool's JSON Schemas, as components of one document. Pure."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

from dagi.ports.devtools import ToolInfo

Json = dict[str, object]
_DEFS: Final = "#/$defs/"
_COMPONENTS: Final = "#/components/schemas/"
# What every call may say beside the tool's own parameters.
BESIDE: Final[Mapping[str, object]] = {
    "dao_id": {"type": "string", "description": "The DAO; the key's or the signed grant's own where left out."},
    "stream": {"type": "boolean", "default": False, "description": "Answer as server-sent events, as `Accept: text/event-stream` does."},
}


def described(document: Json, places: Mapping[str, str], tools: Sequence[ToolInfo]) -> Json:
    """The document with the tools' own forms in it.

    Args:
        places: paths of the document, and the tool that stands at each.
    """
    by_name = {tool.name: tool for tool in tools}
    schemas = cast("Json", cast("Json", document["components"])["schemas"])
    paths = cast("dict[str, dict[str, Json]]", document["paths"])
    for path, name in places.items():
        tool = by_name.get(name)
        if tool is None:
            continue
        schemas |= _components(name, "params", tool.takes) | _components(name, "result", tool.gives)
        taken = cast("Json", schemas[f"{name}.params"])
        schemas[f"{name}.body"] = {**taken, "properties": {**cast("Json", taken.get("properties", {})), **BESIDE}}
        operation = paths[path]["post"]
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(f"{name}.body")}}}
        responses = cast("dict[str, Json]", operation["responses"])
        content = cast("Json", responses["200"]["content"])
        content["application/json"] = {"schema": _reply(name)}
    return document


def _reply(name: str) -> Json:
    properties = {
        "status": {"enum": ["success"]},
        "request_id": {"type": "string"},
        "tool": {"enum": [name]},
        "result": _ref(f"{name}.result"),
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _components(tool: str, part: str, schema: Mapping[str, object]) -> Json:
    """The schema and all it refers to, under names that no other tool has."""
    defs = cast("Mapping[str, object]", schema.get("$defs", {}))
    found = {f"{tool}.{name}": _renamed(tool, each) for name, each in defs.items()}
    root = schema.get("$ref")
    top = defs[root.removeprefix(_DEFS)] if isinstance(root, str) else {key: value for key, value in schema.items() if key != "$defs"}
    return {**found, f"{tool}.{part}": _renamed(tool, top)}


def _renamed(tool: str, value: object) -> object:
    if isinstance(value, Mapping):
        return {
            key: f"{_COMPONENTS}{tool}.{each.removeprefix(_DEFS)}" if key == "$ref" and isinstance(each, str) else _renamed(tool, each)
            for key, each in cast("Mapping[str, object]", value).items()
        }
    if isinstance(value, list):
        return [_renamed(tool, each) for each in cast("list[object]", value)]
    return value


def _ref(name: str) -> Json:
    return {"$ref": f"{_COMPONENTS}{name}"}
