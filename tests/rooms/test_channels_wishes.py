"""What somebody wants done is told from what somebody asks, in both languages; and no button ever carries more than it may."""

import pytest

from dagi.catalogue.language import FILES
from dagi.channels.conversation import COMMANDS
from dagi.channels.wishes import Wish, wished

WISHES = {
    "review my proposal about buying bees for the City Greenhouse, please": Wish("proposals"),
    "Please review proposal 12: does it make sense?": Wish("proposal", "12"),
    "show me proposal #3": Wish("proposal", "3"),
    "Proposal 3": Wish("proposal", "3"),
    "I'd like to vote on proposal #4": Wish("proposal", "4"),
    "what is open for votes?": Wish("proposals"),
    "Which open proposals are there?": Wish("proposals"),
    "List all proposals": Wish("proposals"),
    "Who am I?": Wish("whoami"),
    "who am I in this DAO": Wish("whoami"),
    "what are my roles here?": Wish("whoami"),
    "Link my wallet": Wish("link"),
    "How can I connect my wallet?": Wish("link"),
    "DAO statistics": Wish("dao"),
    "I want to leave feedback": Wish("feedback"),
    "What can you do?": Wish("help"),
    "хто я": Wish("whoami"),
    "Хто я в цій спільноті?": Wish("whoami"),
    "які мої ролі?": Wish("whoami"),
    "покажи пропозицію 3": Wish("proposal", "3"),
    "Покажи мені, будь ласка, пропозицію №7": Wish("proposal", "7"),
    "Переглянь мою пропозицію про вулики на даху теплиці": Wish("proposals"),
    "Що зараз на голосуванні?": Wish("proposals"),
    "Які відкриті пропозиції є?": Wish("proposals"),
    "Як прив'язати свій гаманець?": Wish("link"),
    "приєднай мій гаманець": Wish("link"),
    "Статистика спільноти": Wish("dao"),
    "хочу залишити відгук": Wish("feedback"),
    "Що ти вмієш?": Wish("help"),
    "Які команди ти розумієш?": Wish("help"),
    "За що зараз голосуємо?": Wish("proposals"),
    "What are the statistics of the DAO?": Wish("dao"),
}
QUESTIONS = (
    "Which projects are there?",
    "Who leads the Green Basket?",
    "Who am I supposed to ask about compost?",
    "Who is the treasurer and what may she do with the money?",
    "What may I do with my GREEN tokens after leaving?",
    "What does proposal 3 say about the rent of the greenhouse in Podil?",
    "How do I make a proposal?",
    "Who reviews proposals before they are opened?",
    "Which proposals were rejected last year?",
    "We need 3 proposals from suppliers until Friday",
    "What is the quorum?",
    "How much is in the treasury wallet?",
    "Which wallet holds the money?",
    "Can the link to the vote be sent to my sister?",
    "What is my role in the Compost Circle project of Iryna?",
    "What feedback did the farms give about the baskets?",
    "How does voting work?",
    "",
    "?!",
    "word " * 500,
    "Які проєкти є в DAO?",
    "Хто веде «Зелений кошик»?",
    "Хто я думаю має відповідати за компост?",
    "Як подати пропозицію?",
    "Скільки голосів треба для кворуму?",
    "Що пропозиція 3 каже про оренду теплиці на Подолі?",
    "Яка пропозиція перемогла торік?",
    "Скільки коштів у гаманці скарбниці?",
    "Яка статистика продажів кошиків за травень?",
    "Де залишити відходи для компосту?",
    "За що голосували торік?",
    "За що голосувала Ірина?",
    "Які команди є у проєктах?",
    "Залишила відгук, хто його читає?",
    "What is the DAO status?",
    "Who states the community status?",
)


@pytest.mark.parametrize("text", WISHES)
def test_what_somebody_wants_done_is_offered(text: str) -> None:
    assert wished(text) == WISHES[text]


@pytest.mark.parametrize("text", QUESTIONS)
def test_a_question_like_any_other_offers_nothing(text: str) -> None:
    assert wished(text) is None


def test_every_wish_is_one_that_a_command_does_and_has_its_words_in_every_language() -> None:
    assert {command for file in FILES.values() for command in file.WISHES} <= set(COMMANDS)
    for file in FILES.values():
        assert {f"do.{command}" for command in file.WISHES} <= set(file.MESSAGES)
