"""The first run: a DAO, its first admin, a key and a first document; and a question to see that it works."""

import re
import secrets
from typing import Final

import msgspec

from dagi.access.names import check_identity, check_name
from dagi.assemble.front import opened_front
from dagi.assemble.installation import Installation
from dagi.catalogue import language_of, say
from dagi.errors import Conflict, Invalid
from dagi.knowledge.ingest import Ingest
from dagi.message import Message, Sender
from dagi.observe.clock import SystemClock
from dagi.ports.dialogs import Exchange
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.documents import SqlDocuments
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin

ADMIN: Final = "admin"
DOCUMENT: Final = "about.md"
LABEL: Final = "first key (dagi init)"
# The letters as passports have them (Cabinet of Ministers of Ukraine, resolution 55 of 2010), without the forms at a word's beginning.
_LATIN: Final = str.maketrans(
    {
        **dict(zip("абвгґдезиіклмнопрстуф", "abvhgdezyiklmnoprstuf", strict=True)),
        "є": "ie",
        "ж": "zh",
        "ї": "i",
        "й": "i",
        "х": "kh",
        "ц": "ts",
        "ч": "ch",
        "ш": "sh",
        "щ": "shch",
        "ю": "iu",
        "я": "ia",
        **dict.fromkeys("ьʼ'’", ""),
    }
)


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the first run is to make."""

    dao_id: str
    dao_name: str
    admin: str
    about: str


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """What was not there yet. `key` is shown once and never again; None where the first key was made before."""

    dao: bool
    admin: bool
    document: bool
    key: str | None

    @property
    def anything(self) -> bool:
        """Whether something was changed at all."""
        return self.dao or self.admin or self.document or self.key is not None


def short_name(name: str) -> str:
    """An id for a DAO of that name, in Latin letters; empty where nothing of it can be used."""
    latin = name.lower().translate(_LATIN)
    return re.sub(r"[^a-z0-9]+", "-", latin).strip("-")[:64].rstrip("-")


def about(name: str, text: str) -> str:
    """The first document: what the operator said of the DAO, or one sentence that is true of it."""
    language = language_of(name)
    return f"# {name}\n\n{text.strip() or say(language, 'init.about', name=name)}\n"


async def first_run(database: Database, clock: SystemClock, wish: Wish) -> Made:
    """Make what is missing. What is there already stays as it is, so a second run changes nothing.

    Raises:
        Invalid: the DAO's id or name, or the admin's account, has not the form it needs.
    """
    check_identity(wish.admin, "admin")
    if wish.admin.startswith(("key:", "dev:")):
        raise Invalid("The first admin is a person's account, for example tg:12345.", field="admin")
    check_name(wish.dao_name, "dao_name")
    try:
        await Daos(database, clock).create(wish.dao_id, wish.dao_name)
        founded = True
    except Conflict:
        founded = False
    taken_in = await _take_in(MemberAdmin(database, clock), wish)
    documents = SqlDocuments(database, clock.now)
    written = not await documents.list(wish.dao_id)
    if written:
        await Ingest(documents).add(wish.dao_id, DOCUMENT, about(wish.dao_name, wish.about).encode())
    keys = Keys(database, clock)
    had_key = any(key.label == LABEL for key in await keys.all(wish.dao_id))
    # The key comes last: whoever interrupts the run before it was shown gets one from the next.
    made = None if had_key else await keys.create(wish.dao_id, ADMIN, label=LABEL, act_as=True)
    return Made(dao=founded, admin=taken_in, document=written, key=None if made is None else made.key)


async def _take_in(members: MemberAdmin, wish: Wish) -> bool:
    known = next((member for member in await members.all(wish.dao_id) if wish.admin in member.identities), None)
    if known is None:
        await members.create(wish.dao_id, wish.admin, [ADMIN])
    elif ADMIN not in known.roles:
        await members.update(wish.dao_id, wish.admin, roles=[*known.roles, ADMIN])
    else:
        return False
    return True


async def first_question(installation: Installation, wish: Wish) -> Exchange:
    """Ask what the DAO is, as its admin, by the whole path of a request, in this process.

    Raises:
        DagiError: nobody answers; says why.
    """
    settings = installation.loaded.settings
    quiet = settings.model_copy(update={"logging": settings.logging.model_copy(update={"level": "ERROR"})})
    silenced = msgspec.structs.replace(installation, loaded=msgspec.structs.replace(installation.loaded, settings=quiet))
    sender = Sender(dao_id=wish.dao_id, user_id=wish.admin, source="cli")
    message = Message(
        id=f"init-{secrets.token_hex(6)}", sender=sender, prompt=say(language_of(wish.dao_name), "init.question", name=wish.dao_name)
    )
    async with opened_front(silenced, {}, lasting=False) as front:
        exchange = front.router.exchange(message)
        await front.router.answer(exchange)
    if exchange.error is not None:
        raise exchange.error
    return exchange
