"""`/dao`, and the questions a DAO's own documents answer, as buttons. What members really asked is theirs and told to nobody."""

import hashlib
from collections.abc import Sequence
from typing import Final

from dagi.catalogue import LANGUAGES, language_of, say
from dagi.catalogue.legible import legible
from dagi.channels.rich import literal
from dagi.channels.told import Button
from dagi.message import Grant
from dagi.ports.portraits import Heading, Portrait, Portraits

ASK: Final = "ask"
MOST_QUESTIONS: Final = 5
_ABOUT: Final = "about"
_SEPARATOR: Final = " › "
_LABEL: Final = 60
_EXCERPT: Final = 500
_MARK: Final = 16


class DaoTalk:
    """Tells of a DAO what the person who asks may know."""

    def __init__(self, portraits: Portraits) -> None:
        self._portraits = portraits

    async def told(self, dao_id: str, name: str, open_now: int, grant: Grant, tongue: str) -> str:
        """`/dao`, in Markdown.

        Raises:
            StoreError: it cannot be read just now.
        """
        portrait = await self._portraits.of(dao_id)
        lines: list[str] = []
        if grant.allows("member.read"):
            roles = ", ".join(f"{role}: {count}" for role, count in portrait.members.items())
            lines.append(say(tongue, "dao.members", people=portrait.people, roles=roles))
        if grant.allows("proposal.read"):
            lines.append(say(tongue, "dao.proposals", count=open_now))
        if grant.allows("facts.read"):
            lines.append(say(tongue, "dao.documents", count=portrait.documents))
        if grant.allows("member.read"):
            lines.append(say(tongue, "dao.answered", count=portrait.answered))
        about = _about(portrait, tongue) if grant.allows("facts.read") else None
        quoted = (
            "" if about is None else f"\n\n{literal(_cut(about.text, _EXCERPT))}\n\n{say(tongue, 'facts.source', source=about.document)}"
        )
        return f"**{literal(name)}**{quoted}\n\n" + "\n".join(f"- {line}" for line in lines)

    async def questions(self, dao_id: str, grant: Grant, tongue: str) -> tuple[Button, ...]:
        """Buttons that ask, for whoever may read the documents.

        Raises:
            StoreError: as for `told`.
        """
        if not grant.allows("facts.read"):
            return ()
        found = _questions(await self._portraits.of(dao_id), tongue)
        return tuple(Button(_cut(question, _LABEL), f"{ASK}:{_mark(question)}") for question in found)

    async def question(self, dao_id: str, mark: str) -> str:
        """The question a button asks; empty where it is none of those there are now.

        Raises:
            StoreError: as for `told`.
        """
        portrait = await self._portraits.of(dao_id)
        asked = (question for tongue in LANGUAGES for question in _questions(portrait, tongue))
        return next((question for question in asked if _mark(question) == mark), "")


def _questions(portrait: Portrait, tongue: str) -> Sequence[str]:
    """Headings in the language, where there are any in it; those of collections of questions, else the first of each document."""
    headings = [one for one in portrait.questions if _SEPARATOR in one.title] or [one for one in portrait.openings if one.title]
    spoken = [one for one in headings if language_of(one.title) == tongue] or headings
    titles = (one.title.rpartition(_SEPARATOR)[2] for one in spoken)
    return list(dict.fromkeys(title for title in titles if legible(title)))[:MOST_QUESTIONS]


def _about(portrait: Portrait, tongue: str) -> Heading | None:
    found = [one for one in portrait.openings if one.document.lower().startswith(_ABOUT)]
    return next((one for one in found if language_of(one.text) == tongue), found[0] if found else None)


def _mark(question: str) -> str:
    return hashlib.sha256(question.encode()).hexdigest()[:_MARK]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
