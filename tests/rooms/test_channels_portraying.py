"""Which of a DAO's documents' headings become questions that can be pressed."""

import pytest

from dagi.channels.portraying import DaoTalk
from dagi.message import Grant
from dagi.ports.portraits import Heading, Portrait

pytestmark = pytest.mark.anyio
READER = Grant(dao_id="green", user_id="tg:1", entitlements=frozenset({"facts.read"}))


class Headed:
    """Portraits of DAOs whose questions have these titles."""

    def __init__(self, *titles: str) -> None:
        headings = tuple(Heading(document="faq.md", title=f"Questions › {title}") for title in titles)
        self._portrait = Portrait(members={}, people=0, documents=1, answered=0, questions=headings)

    async def of(self, _dao_id: str) -> Portrait:
        return self._portrait


async def test_a_heading_that_shows_nothing_is_no_question_and_a_long_one_finds_back_to_the_whole() -> None:
    long = "How does " + "it grow and " * 20 + "end?"
    talk = DaoTalk(Headed("", "\u200b", "How to join", long, "How to join"))
    buttons = await talk.questions("green", READER, "en")
    assert [button.label for button in buttons] == ["How to join", long[:59].rstrip() + "…"]
    assert all(len(button.data.encode()) <= 64 for button in buttons)
    assert await talk.question("green", buttons[1].data.partition(":")[2]) == long
