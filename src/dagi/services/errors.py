"""The one table that turns errors into HTTP statuses, and the shapes errors have on the wire: our own, and OpenAI's below `/v1`."""

from collections.abc import Mapping
from math import ceil
from typing import Final

import msgspec

from dagi.errors import DagiError

STATUSES: Final[Mapping[str, int]] = {
    "VALIDATION_ERROR": 400,
    "CONTEXT_TOO_LONG": 400,
    "UNAUTHENTICATED": 401,
    "RBAC_PERMISSION_DENIED": 403,
    "DAO_SUSPENDED": 403,
    "UNKNOWN_MODEL": 404,
    "UNKNOWN_WORKFLOW": 404,
    "UNKNOWN_TOOL": 404,
    "NO_ROUTE": 404,
    "NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "CONFLICT": 409,
    "GONE": 410,
    "PRECONDITION_FAILED": 412,
    "PAYLOAD_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "RATE_LIMITED": 429,
    "BUDGET_EXCEEDED": 429,
    "INTERNAL": 500,
    "PROVIDER_ERROR": 502,
    "QUEUE_FULL": 503,
    "PROVIDER_UNAVAILABLE": 503,
    "NOT_CONFIGURED": 503,
    "SANDBOX_UNAVAILABLE": 503,
    "ACCESS_UNAVAILABLE": 503,
    "PROVIDER_TIMEOUT": 504,
}
# What OpenAI calls the same, where it has a word for it: the kind and the code.
_OPENAI: Final[Mapping[str, tuple[str, str]]] = {
    "VALIDATION_ERROR": ("invalid_request_error", "invalid_value"),
    "CONTEXT_TOO_LONG": ("invalid_request_error", "context_length_exceeded"),
    "UNAUTHENTICATED": ("authentication_error", "invalid_api_key"),
    "RBAC_PERMISSION_DENIED": ("permission_error", "permission_denied"),
    "DAO_SUSPENDED": ("permission_error", "permission_denied"),
    "UNKNOWN_MODEL": ("invalid_request_error", "model_not_found"),
    "NOT_FOUND": ("invalid_request_error", "unknown_url"),
    "METHOD_NOT_ALLOWED": ("invalid_request_error", "method_not_supported"),
    "RATE_LIMITED": ("rate_limit_error", "rate_limit_exceeded"),
    "BUDGET_EXCEEDED": ("insufficient_quota", "insufficient_quota"),
    "INTERNAL": ("server_error", "internal_error"),
}
_OPENAI_PLACES: Final = frozenset({"/v1", "/chat/completions", "/completions", "/models", "/embeddings", "/responses"})
_RETRY_AFTER_S: Final = 1


def status_of(error: DagiError) -> int:
    """The HTTP status of an error."""
    return STATUSES.get(error.code, 500)


def error_body(error: DagiError, request_id: str) -> dict[str, object]:
    """The error as JSON: the sentence, the request id and the facts that belong to it."""
    body: dict[str, object] = {"status": "error", "code": error.code, "message": error.message, "request_id": request_id}
    if error.code == "INTERNAL":
        body["message"] = "An internal error occurred. The request id helps the operator to find it."
        return body
    return {**error.facts, **body}


def speaks_openai(path: str) -> bool:
    """Whether whoever calls this path expects OpenAI's shape of errors."""
    return path.startswith(("/v1/", "/models/", "/responses/")) or path in _OPENAI_PLACES


def openai_error(error: DagiError, request_id: str) -> dict[str, object]:
    """The error in OpenAI's shape. `dagi_code` is our own code; the facts that belong to the error stand beside it."""
    ours = error_body(error, request_id)
    kind, code = _OPENAI.get(error.code, ("server_error" if status_of(error) >= 500 else "invalid_request_error", error.code.lower()))
    field = "model" if error.code == "UNKNOWN_MODEL" else ours.get("field")
    facts = {name: value for name, value in ours.items() if name not in {"status", "code", "message", "field"}}
    return {"error": {**facts, "message": ours["message"], "type": kind, "param": field, "code": code, "dagi_code": error.code}}


def error_headers(error: DagiError) -> list[tuple[bytes, bytes]]:
    """What goes with the status: how long to wait, how to prove oneself, what else could be called."""
    headers: list[tuple[bytes, bytes]] = [*error.headers]
    status = status_of(error)
    if status in {429, 503}:
        headers.append((b"retry-after", str(ceil(error.retry_after_s or _RETRY_AFTER_S)).encode()))
    if status in {502, 504} or error.code == "BUDGET_EXCEEDED":
        # Attempts and fallbacks were made already, and money does not come back by waiting: a client that tries again multiplies them.
        headers.append((b"x-should-retry", b"false"))
    if status == 401:
        headers.append((b"www-authenticate", b'Bearer realm="dagi"'))
    if error.code == "METHOD_NOT_ALLOWED":
        allowed = error.facts.get("allow")
        headers.append((b"allow", ", ".join(allowed).encode() if isinstance(allowed, list) else b""))
    return headers


def encode(value: object) -> bytes:
    """JSON; what is no JSON value by itself is shown as text rather than failing an error answer."""
    return msgspec.json.encode(value, enc_hook=str)
