"""What is answered to what is said, whatever the platform: commands by us, everything else by the router."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from dagi.catalogue import say
from dagi.channels.case import Case
from dagi.channels.linking import CONFIRM, LinkTalk
from dagi.channels.rating import RATINGS, RatingTalk, thumbs
from dagi.channels.rich import literal
from dagi.channels.sentences import language, sentence
from dagi.channels.told import Told
from dagi.errors import DagiError, Internal
from dagi.governance.telling import told
from dagi.ports.dialogs import Exchange
from dagi.ports.feedback import Feedback
from dagi.ports.identities import Linking
from dagi.ports.observer import Observer
from dagi.ports.proposals import OpenProposals
from dagi.ports.target import Ear
from dagi.router import Router

# In the order in which they are shown.
COMMANDS: Final = ("start", "help", "whoami", "proposals", "feedback", "link")


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversation needs beside the router.

    Attributes:
        dao_name: the name of a DAO by its id.
        open_now: what DAOs vote on.
    """

    dao_name: Callable[[str], str]
    linking: Linking
    open_now: OpenProposals
    feedback: Feedback


class Conversation:
    """Answers what members say."""

    def __init__(self, router: Router, observer: Observer, parts: Parts) -> None:
        self._router = router
        self._observer = observer
        self._dao_name = parts.dao_name
        self._open_now = parts.open_now
        self._links = LinkTalk(parts.linking)
        self._ratings = RatingTalk(parts.feedback, router.ports.dialogs)
        self._commands: Mapping[str, Callable[[Case, str], Awaitable[Told]]] = {
            "start": self._start,
            "help": self._help,
            "whoami": self._whoami,
            "proposals": self._proposals,
            "feedback": self._feedback,
            "link": lambda case, tongue: self._links.command(case.said, tongue),
        }

    async def answer(self, case: Case, ear: Ear) -> Told:
        """What to say back.

        Args:
            ear: hears an answer while it is made.

        Raises:
            DagiError: `refusal` puts it into words.
        """
        said = case.said
        tongue = language(said.language, said.text)
        if not said.user_id:
            return Told(markdown=say(tongue, "channel.nobody"))
        if said.command in self._commands:
            return await self._commands[said.command](case, language(said.language))
        if said.command and not said.text:
            return Told(markdown=say(language(said.language), "channel.unknown_command", known=self._known()))
        if not said.text:
            kind = say(tongue, f"channel.kind.{said.unreadable}") if said.unreadable else ""
            return Told(markdown=say(tongue, "channel.unreadable", kind=kind) if kind else say(tongue, "channel.say_it"))
        return await self._asked(case, ear, tongue)

    async def pressed(self, case: Case, data: str) -> Told:
        """What to say to somebody who pressed a button. What it carries may be anything: a program can press what nobody was shown.

        Raises:
            DagiError: as for `answer`.
        """
        tongue = language(case.said.language)
        what, _, rest = data.partition(":")
        if what in RATINGS:
            self._router.grant(case.message()).require("chat.use")
            return await self._ratings.pressed(case, what, rest, tongue)
        if what != CONFIRM:
            return Told(markdown=say(tongue, "channel.old_button"), notice=True)
        if not rest:
            return Told(markdown=say(tongue, "link.left"))
        return await self._links.confirmed(case.said.user_id, rest, tongue)

    def refusal(self, case: Case, error: DagiError, *, pressed: bool = False) -> Told:
        """What is said where `answer` was refused, or failed.

        Args:
            pressed: it was `pressed` that failed; where others read along, it is said to whoever pressed alone.
        """
        tongue = language(case.said.language, case.said.text)
        words = sentence(error, tongue, user_id=case.said.user_id, request_id=case.request_id)
        return Told(markdown=words, request_id=case.request_id, notice=pressed and not case.said.place.private, keep=pressed)

    def defect(self, case: Case, error: BaseException, *, pressed: bool = False) -> Told:
        """What is said where the fault is ours; the operator finds it by the request's id."""
        self._observer.note("internal_error", level="error", request_id=case.request_id, exc_info=error)
        return self.refusal(case, Internal("An internal error occurred."), pressed=pressed)

    async def _asked(self, case: Case, ear: Ear, tongue: str) -> Told:
        exchange = self._router.exchange(case.message(streamed=True))
        await self._router.tell(exchange, ear)
        text = _shown(exchange)
        if not text:
            return Told(markdown=say(tongue, "channel.no_words"), request_id=case.request_id)
        if case.said.attachments:
            text = f"{text}\n\n{say(tongue, 'channel.not_seen')}"
        return Told(markdown=text, request_id=case.request_id, buttons=thumbs(case.number))

    async def _start(self, case: Case, tongue: str) -> Told:
        grant = self._router.grant(case.message())
        if not grant.allows("chat.use"):
            grant.require("chat.use")
        greeting = say(tongue, "channel.start", dao=literal(self._dao_name(case.dao_id) or case.dao_id))
        return Told(markdown=f"{greeting}\n\n{say(tongue, 'channel.help', known=self._described(tongue))}")

    async def _help(self, case: Case, tongue: str) -> Told:
        self._router.grant(case.message()).require("chat.use")
        return Told(markdown=say(tongue, "channel.help", known=self._described(tongue)))

    async def _whoami(self, case: Case, tongue: str) -> Told:
        grant = self._router.grant(case.message())
        if not grant.entitlements:
            grant.require("chat.use")
        roles = ", ".join(grant.roles)
        may = "\n".join(f"- `{one}`" for one in sorted(grant.entitlements))
        dao = literal(self._dao_name(case.dao_id) or case.dao_id)
        why = say(tongue, f"channel.why.{grant.reason}")
        return Told(markdown=say(tongue, "channel.whoami", user_id=case.said.user_id, dao=dao, roles=roles, why=why, may=may))

    async def _proposals(self, case: Case, tongue: str) -> Told:
        self._router.grant(case.message()).require("proposal.read")
        facts = told(self._open_now.open(case.dao_id), tongue)
        # What members wrote is shown as they wrote it: it is no markup of ours.
        shown = [f"**{literal(fact.title)}**\n{literal(fact.text)}" for fact in facts]
        return Told(markdown="\n\n".join(shown) or say(tongue, "proposal.none"))

    async def _feedback(self, case: Case, tongue: str) -> Told:
        self._router.grant(case.message()).require("chat.use")
        return await self._ratings.command(case, tongue)

    def _known(self) -> str:
        return ", ".join(f"/{name}" for name in COMMANDS)

    def _described(self, tongue: str) -> str:
        return "\n".join(f"- /{name}: {say(tongue, f'channel.command.{name}')}" for name in COMMANDS)


def _shown(exchange: Exchange) -> str:
    return exchange.text.strip()
