"""The JSON bodies of `/route` and `/route/explain`, and how a request's body becomes a message."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, TypeVar

import msgspec

from dagi.errors import Invalid
from dagi.message import MODES, Asked, Message, Mode, Sender, Turn
from dagi.services.callers import claims

T = TypeVar("T")

# Keys of `metadata` that have a meaning of their own; all others are facts for rules to match on.
_SENDER: Final = ("dao_id", "user_id", "source", "session_id")
_TEXTS: Final = ("task_type", "provider", "tool", "workflow")
_MAPPINGS: Final = ("params", "inputs")
_SHOWN: Final = 40


class ChatTurn(msgspec.Struct, forbid_unknown_fields=True):
    """One turn of a conversation."""

    role: Literal["system", "user", "assistant"]
    content: str


class RouteBody(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /route and POST /route/explain."""

    prompt: Annotated[str | None, msgspec.Meta(description="What is asked. Or send `messages`.")] = None
    messages: Annotated[list[ChatTurn] | None, msgspec.Meta(description="A conversation whose last turn is the user's.")] = None
    mode: Asked = "chat"
    agent: Annotated[str | None, msgspec.Meta(description="For rules that match on an agent.")] = None
    stream: Annotated[bool, msgspec.Meta(description="Answer as server-sent events.")] = False
    metadata: Annotated[
        dict[str, object] | str,
        msgspec.Meta(
            description="dao_id, user_id, source, session_id; task_type, provider; tool and params (mode devtools); "
            "workflow and inputs (mode crew); anything else is for rules to match on. An object, or the JSON of one in a string."
        ),
    ] = {}


_body: Final = msgspec.json.Decoder(RouteBody)
_object: Final = msgspec.json.Decoder(dict[str, object])


def read_body(body: bytes) -> RouteBody:
    """Decode the body.

    Raises:
        Invalid: it is no JSON, or not of the form; names the field.
    """
    try:
        return _body.decode(body)
    except msgspec.ValidationError as error:
        raise _invalid(error, body) from error
    except RecursionError as error:
        raise Invalid("The JSON is nested too deeply.", field="body") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.", field="body") from error


def _invalid(error: msgspec.ValidationError, body: bytes) -> Invalid:
    sentence, _, path = str(error).partition(" - at `$")
    allowed = list(RouteBody.__struct_fields__)
    if "unknown field" in sentence and not path:
        # The decoder names one; the caller wants to hear of all.
        unknown = [key[:_SHOWN] for key in sorted(set(_whole(body)) - set(allowed))[:_SHOWN]]
        named = ", ".join(f'"{key}"' for key in unknown)
        return Invalid(f"Unknown keys: {named}. Put facts for rules into metadata.", field=unknown[0] or "body", allowed=allowed)
    field = path.rstrip("`").lstrip(".") or "body"
    return Invalid(f"{field}: {sentence}.", field=field, **({"allowed": list(MODES)} if field == "mode" else {}))


def _whole(body: bytes) -> dict[str, object]:
    """The body as any object: the decoder that knows the form stops at the first unknown key, and has not seen what comes after it.

    Raises:
        Invalid: it is no JSON.
    """
    try:
        return _object.decode(body)
    except RecursionError as error:
        raise Invalid("The JSON is nested too deeply.", field="body") from error
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Invalid(f"The body is not valid JSON: {error}.", field="body") from error


def read_claims(body: RouteBody) -> dict[str, str]:
    """Whom the body says it speaks for. Raises Invalid."""
    return claims(_metadata(body))


def to_message(body: RouteBody, sender: Sender, request_id: str) -> Message:
    """The message a body says.

    Raises:
        Invalid: nothing is asked, both forms are used, or a text holds what no text holds.
    """
    prompt, earlier = _conversation(body)
    meta = _metadata(body)
    texts = {name: _text(meta, name) for name in _TEXTS}
    mappings = {name: _mapping(meta, name) for name in _MAPPINGS}
    rest = {name: value for name, value in meta.items() if name not in _SENDER and name not in _TEXTS and name not in _MAPPINGS}
    return Message(
        id=request_id,
        sender=sender,
        prompt=prompt,
        earlier=earlier,
        mode=body.mode,
        agent=None if body.agent is None else _clean(body.agent, "agent"),
        metadata=rest,
        task_type=texts["task_type"],
        provider=texts["provider"],
        tool=texts["tool"],
        workflow=texts["workflow"],
        params=mappings["params"],
        inputs=mappings["inputs"],
        streamed=body.stream,
    )


def _metadata(body: RouteBody) -> Mapping[str, object]:
    """The metadata; tools that know texts alone (Dify's) send it as JSON in a string, and an empty one for none."""
    given = body.metadata
    if not isinstance(given, str):
        return given
    try:
        return _object.decode(given) if given.strip() else {}
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
        raise Invalid("metadata must be an object, or a string with the JSON of one.", field="metadata") from error


def _conversation(body: RouteBody) -> tuple[str, tuple[Turn, ...]]:
    if body.prompt is not None and body.messages is not None:
        raise Invalid("Send prompt or messages, not both.", field="messages")
    if body.messages is not None:
        return _from_messages(body.messages)
    prompt = _clean(body.prompt or "", "prompt")
    if body.mode == "chat" and not prompt.strip():
        raise Invalid("There is no question: prompt is empty.", field="prompt")
    return prompt, ()


def _from_messages(messages: list[ChatTurn]) -> tuple[str, tuple[Turn, ...]]:
    turns = tuple(Turn(turn.role, _clean(turn.content, f"messages[{index}].content")) for index, turn in enumerate(messages))
    if not turns or turns[-1].role != "user" or not turns[-1].text.strip():
        raise Invalid("The last of the messages must be the user's, and not empty.", field="messages")
    return turns[-1].text, turns[:-1]


def _clean(text: str, field: str) -> str:
    if "\x00" in text:
        raise Invalid(f"{field} holds a NUL character.", field=field)
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"{field} holds half of a surrogate pair, which is no character.", field=field) from error
    return text


def _text(metadata: Mapping[str, object], name: str) -> str | None:
    value = metadata.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise Invalid(f"metadata.{name} must be a text.", field=f"metadata.{name}")
    return _clean(value, f"metadata.{name}")


def _mapping(metadata: Mapping[str, object], name: str) -> Mapping[str, object]:
    value = metadata.get(name)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Invalid(f"metadata.{name} must be an object.", field=f"metadata.{name}")
    return value


class UsageBody(msgspec.Struct):
    """Tokens as the provider counted them: of the prompt's, those it had cached; of the completion's, those it thought and did not say."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class AttemptBody(msgspec.Struct):
    """One attempt at a provider: `ok` or an error's code."""

    provider: str
    outcome: str
    ms: float


class RouteReply(msgspec.Struct):
    """A whole answer."""

    request_id: str
    mode: Mode
    rule: str
    provider: str
    model: str
    response: str
    data: dict[str, object]
    usage: UsageBody
    timings_ms: dict[str, float]
    attempts: list[AttemptBody]
    cached: bool
    status: Literal["success"] = "success"


class GrantBody(msgspec.Struct):
    """What the sender may do, and why."""

    dao_id: str
    user_id: str
    roles: list[str]
    entitlements: list[str]
    reason: str


class VerdictBody(msgspec.Struct):
    """What became of one rule, and the condition that decided."""

    rule: str
    priority: int
    outcome: Literal["chosen", "failed", "not_reached"]
    condition: str


class TargetLimits(msgspec.Struct):
    """One target's state and limits in milliseconds, with the rule's timeout already in place of its own."""

    name: str
    state: str
    timeout_ms: float | None
    first_token_timeout_ms: float | None
    idle_timeout_ms: float | None
    attempts: int
    max_concurrent: int | None
    max_queue: int | None
    queue_timeout_ms: float | None


class UsageLimit(msgspec.Struct):
    """How much of a limit is used: the key's, the user's or the DAO's. Money in the currency of the price table."""

    of: Literal["key", "user", "dao"]
    limit: Literal["requests_per_minute", "tokens_per_day", "money_per_month"]
    value: float
    used: float
    remaining: float
    reset_s: float


class LimitsBody(msgspec.Struct):
    """The limits in force for the whole request, for each target, and for the sender."""

    deadline_ms: float | None
    targets: list[TargetLimits]
    usage: list[UsageLimit] = []


class ShareBody(msgspec.Struct):
    """One provider's part of a rule's conversations: its weight, and its share from 0 to 1 among those that can be asked."""

    provider: str
    weight: float
    share: float


class ExplainReply(msgspec.Struct):
    """Why a message would go where it would go."""

    request_id: str
    allowed: bool
    grant: GrantBody
    rules: list[VerdictBody]
    rule: str | None
    requires: str | None
    targets: list[str]
    limits: LimitsBody
    context: dict[str, bool]
    shares: list[ShareBody]
    parameters: dict[str, object]
    cache_ttl_s: float | None
    refusal: dict[str, object] | None
    status: Literal["success"] = "success"
