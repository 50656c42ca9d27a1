"""What is said, who says it, what they may do, and what came back.

Values only: immutable, with no behaviour beyond reading them. A JSON value is typed `object`.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from dagi.errors import Denied, Suspended

# What can be asked for by /route and matched by rules; `embedding` is what a batch of texts to embed is counted as.
Asked = Literal["chat", "devtools", "crew"]
Mode = Literal["chat", "devtools", "crew", "embedding"]
Source = Literal["telegram", "discord", "dify", "mcp", "api", "cli"]
Role = Literal["system", "developer", "user", "assistant", "tool", "function"]
# Why the stack itself asks a model: to put the context's history into a few sentences, or for the next step of an agent's work. Empty for
# what people ask.
Purpose = Literal["", "summary", "agent"]

MODES: tuple[Asked, ...] = ("chat", "devtools", "crew")
SOURCES: tuple[Source, ...] = ("telegram", "discord", "dify", "mcp", "api", "cli")


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """Who said it.

    Attributes:
        user_id: an identity such as `tg:12345`, `dc:987`, `key:<id>`.
        session_id: the conversation the message belongs to; empty when it stands alone.
        key_id: the API key it came with, whose limits count beside the user's; empty without one.
    """

    dao_id: str
    user_id: str
    source: Source = "api"
    session_id: str = ""
    key_id: str = ""


class Call(msgspec.Struct, frozen=True):
    """A tool that a model has called, with its arguments as JSON text."""

    id: str
    name: str
    arguments: str


class Turn(msgspec.Struct, frozen=True):
    """One utterance of a conversation.

    Attributes:
        text: what can be read of it; empty where it only calls tools or shows something.
        raw: the caller's own JSON of it in the form of OpenAI's messages, for whoever speaks that; None for what was never JSON.
        calls: the tools an assistant called.
        call_id: the call that a tool's result answers.
        name: of the tool or of the speaker, where it was told.
        images: their addresses, `data:` with the picture itself or `https:`, in their order.
        kinds: of parts that `raw` alone holds, such as `file` or `input_audio`.
    """

    role: Role
    text: str
    raw: msgspec.Raw | None = None
    calls: tuple[Call, ...] = ()
    call_id: str = ""
    name: str = ""
    images: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    """A file that came with a message: `ref` is where its channel keeps it, never its content."""

    media_type: str
    name: str = ""
    size_bytes: int = 0
    ref: str = ""


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One passage a DAO wrote about itself.

    Attributes:
        source: the document's name, shown beside every quotation.
        title: the heading the passage stands under.
        score: rank fusion score, comparable within one search only; it says nothing about truth or relevance as such.
    """

    id: str
    source: str
    title: str
    text: str
    score: float = 0.0


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What the router adds to a message before a target sees it. All of it is data, none of it instructions.

    Attributes:
        facts: passages of the DAO's own documents, best first; None when nobody has searched.
        roles: the sender's roles; None when they are not to be told.
        proposals: what the DAO votes on now, in the language of the message; None when it is not to be told, or the sender may not read it.
        history: the session's earlier turns, oldest first.
        summary: what was said before them, in a model's words; empty where nothing was, or nobody has put it into words.
    """

    dao_name: str = ""
    facts: tuple[Fact, ...] | None = None
    roles: tuple[str, ...] | None = None
    proposals: tuple[Fact, ...] | None = None
    history: tuple[Turn, ...] = ()
    summary: str = ""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How long the answer may take.

    Attributes:
        timeout_s: one target, all its attempts together, its queue not counted; None leaves the target's own.
        deadline: when the whole request must be over, on the monotonic clock; None for no end.
    """

    timeout_s: float | None = None
    deadline: float | None = None


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What was said.

    Attributes:
        id: the request id, one through all services.
        prompt: what is asked now, the text of the last user turn.
        earlier: the turns the caller itself sent before it (`messages` of the request), oldest first.
        conversation: in place of both for the model, where turns are more than text or go on after the user's: all of them as sent.
        tool, params: what to do in mode `devtools`.
        workflow, inputs: what to run in mode `crew`.
        provider: the provider the caller wishes for; a rule decides whether the wish counts.
        insists: it counts also where the rule follows no wishes, for the caller named it as the model.
        metadata: any further JSON the caller sent, for rules to match on. Never trusted as a right.
        options: the caller's model parameters as unparsed JSON, passed on as they are.
        ruled: those of the options that are the rule's and not the caller's.
        entire: more is wanted than text and calls of tools, such as several choices or probabilities: an answer in one piece is asked for
            in one piece, and none is given again.
        reuse_s: for how many seconds the answer may be given again to the same question; None for never.
        purpose: why the stack itself asks; no caller can set it.
        streamed: the caller sees pieces as they come. One who does not has seen nothing of an answer that breaks off.
    """

    id: str
    sender: Sender
    prompt: str = ""
    mode: Mode = "chat"
    earlier: tuple[Turn, ...] = ()
    conversation: tuple[Turn, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    agent: str | None = None
    task_type: str | None = None
    provider: str | None = None
    insists: bool = False
    tool: str | None = None
    params: Mapping[str, object] = {}
    workflow: str | None = None
    inputs: Mapping[str, object] = {}
    metadata: Mapping[str, object] = {}
    options: msgspec.Raw | None = None
    ruled: Mapping[str, object] = {}
    purpose: Purpose = ""
    streamed: bool = False
    entire: bool = False
    reuse_s: float | None = None
    context: Context = Context()
    limits: Limits = Limits()

    def tokens(self) -> int:
        """Estimate of the tokens the caller sent: UTF-8 bytes / 4, which is near enough for choosing a model."""
        if self.conversation:
            return sum(len(turn.text.encode()) for turn in self.conversation) // 4
        size = len(self.prompt.encode()) + sum(len(turn.text.encode()) for turn in self.earlier)
        return size // 4


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """What the sender may do in that DAO, and why.

    Attributes:
        reason: `role_grants`, `guest_of_open_dao`, `not_a_member`, `suspended` (the member), `dao_suspended`, `expired`, or
            `recently_linked` (the roles grant it, but what administers a DAO not yet through this account).
        decision_id: names this decision in logs and errors.
        policy_version: counts the changes of the DAO's rights; tells by which state of them it was decided.
        withheld: what the roles would grant through an account that is known for longer.
        beyond_key: what the sender may, and the key that speaks for it may not.
    """

    dao_id: str
    user_id: str
    roles: tuple[str, ...] = ()
    entitlements: frozenset[str] = frozenset()
    reason: str = "not_a_member"
    decision_id: str = ""
    policy_version: int = 0
    withheld: frozenset[str] = frozenset()
    beyond_key: frozenset[str] = frozenset()

    def allows(self, entitlement: str) -> bool:
        """Whether the grant covers the entitlement."""
        return covers(self.entitlements, entitlement)

    def require(self, entitlement: str) -> None:
        """Let the request pass, or end it.

        Raises:
            Suspended: the sender is a member of a DAO that is suspended.
            Denied: the grant does not cover the entitlement.
        """
        if self.allows(entitlement):
            return
        if self.reason == "dao_suspended":
            raise Suspended(
                f"The DAO {self.dao_id} is suspended; its admins can say why.",
                required_entitlement=entitlement,
                reason=self.reason,
                decision_id=self.decision_id,
            ).by(self)
        role = self.roles[0] if self.roles else None
        reason = self.reason
        if covers(self.beyond_key, entitlement):
            reason = "key_lacks_entitlement"
        elif self.entitlements and (reason != "recently_linked" or entitlement not in self.withheld):
            reason = "role_lacks_entitlement"
        raise Denied(
            _DENIALS.get(reason, "This is not allowed for you here.").format(entitlement=entitlement, role=role),
            user_role=role,
            required_entitlement=entitlement,
            reason=reason,
            decision_id=self.decision_id,
        ).by(self)


def covers(held: frozenset[str], entitlement: str) -> bool:
    """Whether what is held allows the entitlement; `workflow.run:*` covers every `workflow.run:<name>`."""
    if entitlement in held:
        return True
    family, colon, _ = entitlement.partition(":")
    return bool(colon) and f"{family}:*" in held


# Said to a stranger and for a DAO that does not exist alike: the answer must not tell them apart.
_DENIALS = {
    "not_a_member": "You are not a member of this DAO. Ask one of its admins for an invitation.",
    "suspended": "Your membership is suspended. Ask one of the DAO's admins.",
    "expired": "Your membership has expired. Ask one of the DAO's admins to renew it.",
    "recently_linked": "This account was linked a short while ago, and {entitlement} waits for 24 hours. Use an account you had before.",
    "key_lacks_entitlement": "This needs the entitlement {entitlement}, which you have, but the key that speaks for you does not. "
    "Come by a key whose role grants it, or ask an operator.",
    "role_lacks_entitlement": "This needs the entitlement {entitlement}, which the role {role} does not have. Ask one of the DAO's admins.",
}


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Tokens of one exchange, as the provider counted them.

    Attributes:
        cached_tokens: those of the prompt that the provider had read before and charges less for.
        reasoning_tokens: those of the completion that were thought and not said.
    """

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one provider. `outcome` is `ok` or the code of the error; `detail` its sentence for operators."""

    provider: str
    outcome: str
    ms: float
    detail: str = ""


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for a message.

    Attributes:
        data: structured results beside the text: quoted facts with their sources, a tool's output, a workflow's result.
        timings_ms: `access`, `queue`, `provider`, `total` in milliseconds.
    """

    request_id: str
    mode: Mode
    rule: str
    provider: str
    model: str
    text: str
    data: Mapping[str, object]
    usage: Usage
    timings_ms: Mapping[str, float]
    attempts: tuple[Attempt, ...]
    finish_reason: str = "stop"
    cached: bool = False
