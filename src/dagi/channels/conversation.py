"""What is answered to what is said, whatever the platform: commands by us, everything else by the router."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from dagi.catalogue import say
from dagi.catalogue.legible import legible
from dagi.channels.case import Case
from dagi.channels.deciding import VOTE, ProposalTalk
from dagi.channels.linking import CONFIRM, LinkTalk
from dagi.channels.portraying import ASK, DaoTalk
from dagi.channels.rating import RATINGS, RatingTalk, thumbs
from dagi.channels.rich import literal
from dagi.channels.sentences import language, sentence
from dagi.channels.told import Button, Told
from dagi.channels.wishes import wished
from dagi.errors import DagiError, Internal
from dagi.message import Grant
from dagi.ports.feedback import Feedback
from dagi.ports.identities import Linking
from dagi.ports.observer import Observer
from dagi.ports.portraits import Portraits
from dagi.ports.proposals import OpenProposals, ProposalsBy
from dagi.ports.target import Ear
from dagi.router import Router

# In the order in which they are shown.
COMMANDS: Final = ("start", "help", "whoami", "dao", "proposals", "proposal", "feedback", "link")
_TOLD: Final[Mapping[str, str]] = {name: f"channel.command.{name}" for name in COMMANDS}
# What a button does as if it had been written.
_DO: Final = "do"


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a conversation needs beside the router.

    Attributes:
        dao_name: the name of a DAO by its id.
        open_now: what DAOs vote on.
        offered: by sources whose commands are not `COMMANDS` those that people are told of, each with its sentence in the catalogue.
    """

    dao_name: Callable[[str], str]
    linking: Linking
    open_now: OpenProposals
    proposals: ProposalsBy
    feedback: Feedback
    portraits: Portraits
    offered: Mapping[str, Mapping[str, str]] = {}


class Conversation:
    """Answers what members say."""

    def __init__(self, router: Router, observer: Observer, parts: Parts) -> None:
        self._router = router
        self._observer = observer
        self._dao_name = parts.dao_name
        self._offered = parts.offered
        self._open_now = parts.open_now
        self._links = LinkTalk(parts.linking)
        self._ratings = RatingTalk(parts.feedback, router.ports.dialogs)
        self._decisions = ProposalTalk(parts.proposals, parts.open_now)
        self._daos = DaoTalk(parts.portraits)
        self._commands: Mapping[str, Callable[[Case, str], Awaitable[Told]]] = {
            "start": self._start,
            "help": self._help,
            "whoami": self._whoami,
            "dao": self._dao,
            "proposals": self._proposals,
            "proposal": self._proposal,
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
            return Told(markdown=say(language(said.language), "channel.unknown_command", known=self._known(case.source)))
        if not said.text:
            kind = say(tongue, f"channel.kind.{said.unreadable}") if said.unreadable else ""
            return Told(markdown=say(tongue, "channel.unreadable", kind=kind) if kind else say(tongue, "channel.say_it"))
        return await self._asked(case, ear, tongue)

    async def pressed(self, case: Case, data: str, ear: Ear | None = None) -> Told:
        """What to say to somebody who pressed a button. What it carries may be anything: a program can press what nobody was shown.

        Args:
            ear: hears an answer while it is made, where the button asks a question.

        Raises:
            DagiError: as for `answer`.
        """
        tongue = language(case.said.language)
        what, _, rest = data.partition(":")
        if what == CONFIRM:
            return await self._links.confirmed(case.said.user_id, rest, tongue) if rest else Told(markdown=say(tongue, "link.left"))
        grant = self._router.grant(case.message())
        grant.require("chat.use")
        if what in RATINGS:
            return await self._ratings.pressed(case, what, rest, tongue)
        if what == VOTE:
            grant.require("proposal.read")
            return await self._decisions.vote(case, rest, tongue)
        command, _, words = rest.partition(":")
        if what == _DO and command in self._commands:
            return replace(await self._commands[command](_saying(case, words), tongue), keep=True)
        if what == ASK and grant.allows("facts.read") and (question := await self._daos.question(case.dao_id, rest)):
            return await self._asked_for(_saying(case, question), ear)
        return Told(markdown=say(tongue, "channel.old_button"), notice=True)

    def choices(self, case: Case, typed: str) -> Sequence[tuple[str, str]]:
        """Open proposals that may be meant by what is typed so far: at most 25, each a label of at most 100 characters and its value.

        There are none for whoever may not read them.
        """
        try:
            allowed = self._router.grant(case.message()).allows("proposal.read")
        except DagiError:
            return ()
        return self._decisions.choices(case.dao_id, typed) if allowed else ()

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

    async def _asked(self, case: Case, ear: Ear | None, tongue: str) -> Told:
        exchange = self._router.exchange(case.message(streamed=ear is not None))
        if ear is None:
            await self._router.answer(exchange)
        else:
            await self._router.tell(exchange, ear)
        text = exchange.text.strip()
        if not legible(text):
            return Told(markdown=say(tongue, "channel.no_words"), request_id=case.request_id)
        if case.said.attachments:
            text = f"{text}\n\n{say(tongue, 'channel.not_seen')}"
        return Told(markdown=text, request_id=case.request_id, buttons=(*thumbs(case.number), *_offered(case.said.text, tongue)))

    async def _asked_for(self, case: Case, ear: Ear | None) -> Told:
        """A question that was pressed: nobody sees it anywhere unless it is said."""
        question = case.said.text
        found = await self._asked(case, ear, language("", question))
        return replace(found, markdown=f"**{literal(question)}**\n\n{found.markdown}", keep=True)

    async def _start(self, case: Case, tongue: str) -> Told:
        grant = self._router.grant(case.message())
        grant.require("chat.use")
        greeting = say(tongue, "channel.start", dao=literal(self._dao_name(case.dao_id) or case.dao_id))
        return await self._helped(case, grant, tongue, greeting)

    async def _help(self, case: Case, tongue: str) -> Told:
        grant = self._router.grant(case.message())
        grant.require("chat.use")
        return await self._helped(case, grant, tongue, "")

    async def _helped(self, case: Case, grant: Grant, tongue: str, greeting: str) -> Told:
        questions = await self._daos.questions(case.dao_id, grant, tongue)
        said = [greeting, say(tongue, "channel.help", known=self._described(case.source, tongue))]
        said.append(say(tongue, "channel.questions") if questions else "")
        return Told(markdown="\n\n".join(filter(None, said)), buttons=questions)

    async def _whoami(self, case: Case, tongue: str) -> Told:
        grant = self._router.grant(case.message())
        if not grant.entitlements:
            grant.require("chat.use")
        roles = ", ".join(grant.roles)
        may = "\n".join(f"- `{one}`" for one in sorted(grant.entitlements))
        dao = literal(self._dao_name(case.dao_id) or case.dao_id)
        why = say(tongue, f"channel.why.{grant.reason}")
        return Told(markdown=say(tongue, "channel.whoami", user_id=case.said.user_id, dao=dao, roles=roles, why=why, may=may))

    async def _dao(self, case: Case, tongue: str) -> Told:
        grant = self._router.grant(case.message())
        grant.require("chat.use")
        name = self._dao_name(case.dao_id) or case.dao_id
        return Told(markdown=await self._daos.told(case.dao_id, name, len(self._open_now.open(case.dao_id)), grant, tongue))

    async def _proposals(self, case: Case, tongue: str) -> Told:
        self._router.grant(case.message()).require("proposal.read")
        return self._decisions.listed(case, tongue)

    async def _proposal(self, case: Case, tongue: str) -> Told:
        grant = self._router.grant(case.message())
        grant.require("proposal.read")
        return await self._decisions.shown(case, grant, tongue)

    async def _feedback(self, case: Case, tongue: str) -> Told:
        self._router.grant(case.message()).require("chat.use")
        return await self._ratings.command(case, tongue)

    def _known(self, source: str) -> str:
        return ", ".join(f"/{name}" for name in self._offered.get(source, _TOLD))

    def _described(self, source: str, tongue: str) -> str:
        return "\n".join(f"- /{name}: {say(tongue, key)}" for name, key in self._offered.get(source, _TOLD).items())


def asks(data: str) -> bool:
    """Whether a button that carries this asks a question, whose answer may take its time."""
    return data.partition(":")[0] == ASK


def _saying(case: Case, text: str) -> Case:
    return replace(case, said=replace(case.said, text=text))


def _offered(text: str, tongue: str) -> tuple[Button, ...]:
    """A button for what somebody asks for whom a command would help, too."""
    wish = wished(text)
    if wish is None:
        return ()
    data = f"{_DO}:{wish.command}:{wish.words}" if wish.words else f"{_DO}:{wish.command}"
    return (Button(say(tongue, f"do.{wish.command}", words=wish.words), data),)
