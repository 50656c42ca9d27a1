"""The demo DAO of an empty development installation, and the key to it."""

from datetime import timedelta

import msgspec

from dagi.assemble.installation import Installation, write_private
from dagi.errors import Conflict
from dagi.governance.drafting import Wish
from dagi.knowledge.demo import DAO_ID, DAO_NAME, demo_documents, demo_proposals
from dagi.knowledge.ingest import Ingest
from dagi.observe.clock import SystemClock
from dagi.ports.proposals import Ballot
from dagi.stores.daos import Daos
from dagi.stores.database import Database
from dagi.stores.documents import SqlDocuments
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from dagi.stores.proposals import SqlProposals

_LABEL = "demo key of the first start"
_MEMBERS = (
    ("tg:12345", "member", "Daryna"),
    ("tg:admin001", "admin", "Olena"),
    ("tg:contributor001", "contributor", "Taras"),
    ("tg:guest123", "guest", "Maksym"),
)


class DemoMade(msgspec.Struct, frozen=True):
    """What the first start made: shown once, on the terminal."""

    dao_id: str
    key: str


async def seed_demo(installation: Installation, database: Database) -> DemoMade | None:
    """Make the demo DAO when there is no DAO at all; None when there is one.

    The key is the last step in the database, and its file the last of all. Where the demo DAO is alone and has never had that key, the
    seeding was interrupted, and what is missing is made; where only the file is missing, a new key takes the lost one's place. On a server
    the file may be another stack's, in a data directory of its own: each has a key of its own then.
    """
    clock = SystemClock()
    daos = Daos(database, clock)
    there = {dao.id for dao in await daos.all()}
    if there and (there != {DAO_ID} or installation.demo_key_file.exists()):
        return None
    keys = Keys(database, clock)
    made_before = [key for key in await keys.all(DAO_ID) if key.label == _LABEL] if there else []
    if not made_before:
        try:
            await _seed(database, clock, is_founded=bool(there))
        except Conflict:
            # Another stack on the same server is at it in this very moment.
            return None
    for lost in made_before if database.path is not None else ():
        if lost.revoked_at is None:
            await keys.revoke(lost.id)
    made = await keys.create(DAO_ID, "admin", label=_LABEL, act_as=True)
    write_private(installation.demo_key_file, made.key.encode())
    return DemoMade(DAO_ID, made.key)


async def _seed(database: Database, clock: SystemClock, *, is_founded: bool) -> None:
    if not is_founded:
        await Daos(database, clock).create(DAO_ID, DAO_NAME)
    members = MemberAdmin(database, clock)
    taken_in = {account for member in await members.all(DAO_ID) for account in member.identities}
    for user_id, role, name in _MEMBERS:
        if user_id not in taken_in:
            await members.create(DAO_ID, user_id, [role], name=name)
    await _seed_proposals(database, clock)
    documents = SqlDocuments(database, clock.now)
    added = {document.name for document in await documents.list(DAO_ID)}
    for name, markdown in demo_documents():
        if name not in added:
            await Ingest(documents).add(DAO_ID, name, markdown.encode())


async def _seed_proposals(database: Database, clock: SystemClock) -> None:
    """Two proposals: one that is open, with votes, and one that is decided."""
    proposals = SqlProposals(database, clock)
    made = {one.proposal.title for one in await proposals.all(DAO_ID)}
    for demo in demo_proposals():
        if demo.title not in made:
            wish = Wish(title=demo.title, body=demo.body, quorum=demo.quorum, closes_at=clock.now() + timedelta(days=demo.days))
            number = (await proposals.add(DAO_ID, wish, demo.author)).proposal.number
            for user_id, choice in demo.votes:
                await proposals.vote(DAO_ID, number, Ballot(user_id=user_id, choice=choice))
            if demo.closed:
                await proposals.close(DAO_ID, number)
