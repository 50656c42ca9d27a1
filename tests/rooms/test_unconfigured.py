"""A provider that lacks something."""

import pytest

from dagi.errors import NotConfigured
from dagi.message import Attempt, Grant, Message, Sender
from dagi.ports.target import Tried
from dagi.targets.unconfigured import Unconfigured

pytestmark = pytest.mark.anyio


async def test_what_is_missing_is_told_to_the_operator_and_not_to_the_caller() -> None:
    target = Unconfigured("llm", "not configured: set the variable OPENAI_API_KEY")
    stream = target.open(Message(id="r", sender=Sender(dao_id="dao", user_id="tg:1"), prompt="hi"), Grant(dao_id="dao", user_id="tg:1"))
    detail = "llm is not configured: set the variable OPENAI_API_KEY."
    assert await anext(stream) == Tried(Attempt(provider="llm", outcome="NOT_CONFIGURED", ms=0.0, detail=detail))
    with pytest.raises(NotConfigured, match=r"^llm is not configured.$"):
        await anext(stream)
