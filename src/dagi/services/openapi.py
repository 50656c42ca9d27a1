"""The API description, made from the same table that serves the requests, so that the two cannot differ."""

import re
from collections.abc import Mapping, Sequence

import msgspec

from dagi.services.errors import STATUSES
from dagi.services.face import Endpoint, Parameter

PAGE = "text/html"
_NO_WORD = re.compile(r"[^a-z0-9]+")
_REF = "#/components/schemas/{name}"


class ErrorBody(msgspec.Struct):
    """An error: what happened, where, and what to do. Facts of the error may stand beside these keys."""

    status: str
    code: str
    message: str
    request_id: str


def describe(endpoints: Sequence[Endpoint], *, title: str, version: str, server: str) -> dict[str, object]:
    """An OpenAPI 3.1 document.

    Args:
        server: the absolute URL of the service, without a slash at the end; importers insist on one.
    """
    types = [kind for endpoint in endpoints for kind in (endpoint.takes, endpoint.gives, endpoint.fails) if kind is not None]
    _, components = msgspec.json.schema_components([*types, ErrorBody], schema_hook=_any_json, ref_template=_REF)
    components["ErrorBody"]["properties"]["code"]["enum"] = sorted(STATUSES)
    paths: dict[str, dict[str, object]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "license": {"name": "MIT", "identifier": "MIT"}},
        "servers": [{"url": server}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }


def _any_json(_kind: type) -> dict[str, object]:
    """The only type JSON has no word for is `object`: any JSON value."""
    return {"description": "Any JSON value."}


def _operation(endpoint: Endpoint) -> dict[str, object]:
    responses: dict[str, object] = {"200": {"description": "OK", "content": _content(endpoint)}}
    # Where people read the answer, they read of errors in the same way.
    failing = _content(endpoint) if endpoint.gives_text == PAGE else {"application/json": {"schema": _ref(endpoint.fails or ErrorBody)}}
    for status in (*endpoint.errors, "default"):
        responses[str(status)] = {"description": "An error", "content": failing}
    operation: dict[str, object] = {
        "operationId": _operation_id(endpoint),
        "summary": endpoint.summary,
        "responses": responses,
    }
    if endpoint.description:
        operation["description"] = endpoint.description
    if endpoint.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in endpoint.parameters]
    if endpoint.audience == "public":
        operation["security"] = []
    if endpoint.takes is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": _ref(endpoint.takes)}}}
    return operation


def _parameter(parameter: Parameter) -> dict[str, object]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.description,
        "schema": {"type": "string"} | dict(parameter.schema),
    }


def _content(endpoint: Endpoint) -> Mapping[str, object]:
    content: dict[str, object] = {}
    if endpoint.gives_text is not None:
        content[endpoint.gives_text] = {"schema": {"type": "string"}}
    elif endpoint.gives is not None:
        content["application/json"] = {"schema": _ref(endpoint.gives)}
    else:
        content["application/json"] = {"schema": {"type": "object"}}
    if endpoint.stream:
        content["text/event-stream"] = {"schema": {"type": "string"}}
    return content


def _ref(kind: type) -> Mapping[str, object]:
    return {"$ref": _REF.format(name=kind.__name__)}


def _operation_id(endpoint: Endpoint) -> str:
    words = _NO_WORD.sub("_", endpoint.path).strip("_") or "root"
    return f"{endpoint.method.lower()}_{words}"
