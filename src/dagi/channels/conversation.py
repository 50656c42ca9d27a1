"""What is answered to what is said, whatever the platform: commands by us, everything else by the router."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import msgspec

from dagi.catalogue import say
from dagi.channels.incoming import Incoming
from dagi.channels.linking import CONFIRM, LinkTalk
from dagi.channels.rich import literal
from dagi.channels.sentences import language, sentence
from dagi.channels.told import Told
from dagi.errors import DagiError, Internal
from dagi.governance.telling import told
from dagi.message import Message, Sender, Source
from dagi.ports.dialogs import Exchange
from dagi.ports.identities import Linking
from dagi.ports.observer import Observer
from dagi.ports.proposals import OpenProposals
from dagi.ports.target import Ear
from dagi.router import Router

# In the order in which they are shown.
COMMANDS: Final = ("start", "help", "whoami", "proposals", "link")
# As long as a request's id may be.
_ID: Final = 64


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What was said, and where that belongs to.

    Attributes:
        dao_id: of the chat's or the bot's binding, never out of what was said.
        request_id: of whatever comes of it; the same at every attempt.
        session_id: the conversation it belongs to.
    """

    said: Incoming
    dao_id: str
    source: Source
    request_id: str
    session_id: str


class Conversation:
    """Answers what members say.

    Args:
        dao_name: the name of a DAO by its id.
        open_now: what DAOs vote on.
    """

    def __init__(
        self, router: Router, dao_name: Callable[[str], str], observer: Observer, linking: Linking, open_now: OpenProposals
    ) -> None:
        self._router = router
        self._dao_name = dao_name
        self._observer = observer
        self._links = LinkTalk(linking)
        self._open_now = open_now
        self._commands: Mapping[str, Callable[[Case, str], Awaitable[Told]]] = {
            "start": self._start,
            "help": self._help,
            "whoami": self._whoami,
            "proposals": self._proposals,
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
        """What to say to somebody who pressed a button.

        Raises:
            DagiError: as for `answer`.
        """
        tongue = language(case.said.language)
        what, _, secret = data.partition(":")
        if what != CONFIRM:
            return Told(markdown=say(tongue, "channel.old_button"))
        if not secret:
            return Told(markdown=say(tongue, "link.left"))
        return await self._links.confirmed(case.said.user_id, secret, tongue)

    def refusal(self, case: Case, error: DagiError) -> Told:
        """What is said where `answer` was refused, or failed."""
        tongue = language(case.said.language, case.said.text)
        words = sentence(error, tongue, user_id=case.said.user_id, request_id=case.request_id)
        return Told(markdown=words, request_id=case.request_id)

    def defect(self, case: Case, error: BaseException) -> Told:
        """What is said where the fault is ours; the operator finds it by the request's id."""
        self._observer.note("internal_error", level="error", request_id=case.request_id, exc_info=error)
        return self.refusal(case, Internal("An internal error occurred."))

    async def _asked(self, case: Case, ear: Ear, tongue: str) -> Told:
        exchange = self._router.exchange(self._message(case, streamed=True))
        await self._router.tell(exchange, ear)
        text = _shown(exchange)
        if not text:
            text = say(tongue, "channel.no_words")
        elif case.said.attachments:
            text = f"{text}\n\n{say(tongue, 'channel.not_seen')}"
        return Told(markdown=text, request_id=case.request_id)

    async def _start(self, case: Case, tongue: str) -> Told:
        grant = self._router.grant(self._message(case))
        if not grant.allows("chat.use"):
            grant.require("chat.use")
        greeting = say(tongue, "channel.start", dao=literal(self._dao_name(case.dao_id) or case.dao_id))
        return Told(markdown=f"{greeting}\n\n{say(tongue, 'channel.help', known=self._described(tongue))}")

    async def _help(self, case: Case, tongue: str) -> Told:
        self._router.grant(self._message(case)).require("chat.use")
        return Told(markdown=say(tongue, "channel.help", known=self._described(tongue)))

    async def _whoami(self, case: Case, tongue: str) -> Told:
        grant = self._router.grant(self._message(case))
        if not grant.entitlements:
            grant.require("chat.use")
        roles = ", ".join(grant.roles)
        may = "\n".join(f"- `{one}`" for one in sorted(grant.entitlements))
        dao = literal(self._dao_name(case.dao_id) or case.dao_id)
        why = say(tongue, f"channel.why.{grant.reason}")
        return Told(markdown=say(tongue, "channel.whoami", user_id=case.said.user_id, dao=dao, roles=roles, why=why, may=may))

    async def _proposals(self, case: Case, tongue: str) -> Told:
        self._router.grant(self._message(case)).require("proposal.read")
        facts = told(self._open_now.open(case.dao_id), tongue)
        # What members wrote is shown as they wrote it: it is no markup of ours.
        shown = [f"**{literal(fact.title)}**\n{literal(fact.text)}" for fact in facts]
        return Told(markdown="\n\n".join(shown) or say(tongue, "proposal.none"))

    def _message(self, case: Case, *, streamed: bool = False) -> Message:
        sender = Sender(dao_id=case.dao_id, user_id=case.said.user_id, source=case.source, session_id=case.session_id)
        return Message(id=case.request_id[:_ID], sender=sender, prompt=case.said.text, attachments=case.said.attachments, streamed=streamed)

    def _known(self) -> str:
        return ", ".join(f"/{name}" for name in COMMANDS)

    def _described(self, tongue: str) -> str:
        return "\n".join(f"- /{name}: {say(tongue, f'channel.command.{name}')}" for name in COMMANDS)


def _shown(exchange: Exchange) -> str:
    return exchange.text.strip()
