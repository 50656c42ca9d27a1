"""`GET /dify/openapi.json`: `/route` as Dify's importer of custom tools reads it.

What that importer asks for: an absolute address in `servers`, a body with flat properties of plain types, each with a description, one
content type. It offers an object as a text field and sends what was typed there, which is why `metadata` may be JSON in a string.
"""

import re
from typing import Final

from dagi.services.callers import Callers
from dagi.services.errors import encode
from dagi.services.face import JSON, Answer, Endpoint, Request

PATH: Final = "/dify/openapi.json"
_HOST: Final = re.compile(rb"(?:\[[0-9A-Fa-f:.]{2,45}\]|[0-9A-Za-z_.-]{1,253})(?::[0-9]{1,5})?")
_ASK: Final = (
    "Ask the assistant of a DAO (a community). It knows the DAO's own documents, checks what the person may do, and answers in the "
    "language of the question. The answer is the text in `response`."
)
_PROPERTIES: Final = {
    "prompt": {"type": "string", "description": "The question, as the person asked it."},
    "mode": {
        "type": "string",
        "default": "chat",
        "description": "How to answer: chat. The modes devtools and crew work only where the operator's rules serve them.",
    },
    "metadata": {
        "type": "object",
        "description": "A JSON object that says who asks and where, for example "
        '{"user_id": "tg:12345", "session_id": "tg:12345:my-dao", "source": "dify"}. `user_id` needs a key that may act for others; '
        "without it the key itself asks. Further keys are for the operator's rules.",
    },
    "agent": {"type": "string", "description": "A name that the operator's rules may match on; usually left out."},
}
_REPLY: Final = {
    "type": "object",
    "properties": {
        "status": {"type": "string", "description": "success"},
        "response": {"type": "string", "description": "The answer."},
        "request_id": {"type": "string", "description": "Finds the request in the operator's log."},
    },
}


class DifyFace:
    """Gives the document to whoever may call at all, with the address under which the caller reached us.

    Args:
        url: our own address, for callers who name none.
    """

    def __init__(self, callers: Callers, *, url: str, version: str) -> None:
        self._callers = callers
        self._url = url
        self._version = version

    def endpoint(self) -> Endpoint:
        """For the table."""
        return Endpoint(
            method="GET", path=PATH, handler=self.document, summary="/route for Dify's importer of custom tools", errors=(401, 415)
        )

    async def document(self, request: Request) -> Answer:
        """GET /dify/openapi.json."""
        self._callers.prove(request)
        headers = [JSON, (b"cache-control", b"no-store"), (b"vary", b"host, x-forwarded-proto")]
        return Answer(headers=headers, body=encode(document(self._reached_at(request), self._version)))

    def _reached_at(self, request: Request) -> str:
        host = request.headers.get(b"host", b"")
        if _HOST.fullmatch(host) is None:
            return self._url
        scheme = "https" if request.headers.get(b"x-forwarded-proto") == b"https" else "http"
        return f"{scheme}://{host.decode('ascii')}"


def document(url: str, version: str) -> dict[str, object]:
    """An OpenAPI 3.0 document with the one operation.

    Args:
        url: where the tool is to be called, without a slash at the end.
    """
    body = {"type": "object", "required": ["prompt"], "properties": _PROPERTIES}
    operation = {
        "operationId": "ask_dao",
        "summary": "Ask the DAO's assistant",
        "description": _ASK,
        "requestBody": {"required": True, "content": {"application/json": {"schema": body}}},
        "responses": {
            "200": {"description": "The answer", "content": {"application/json": {"schema": _REPLY}}},
            "default": {"description": "An error: `code` and `message` say what happened and what to do."},
        },
    }
    return {
        "openapi": "3.0.3",
        "info": {"title": "DAGI Stack", "description": "Questions to a DAO's assistant.", "version": version},
        "servers": [{"url": url}],
        "paths": {"/route": {"post": operation}},
        "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
        "security": [{"key": []}],
    }
