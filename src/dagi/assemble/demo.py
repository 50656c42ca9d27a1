"""The demo DAO of an empty development installation, and the key to it."""

import msgspec

from dagi.assemble.installation import Installation, write_private
from dagi.knowledge.demo import demo_documents
from dagi.knowledge.ingest import Ingest
from dagi.observe.clock import SystemClock
from dagi.stores.database import Database
from dagi.stores.documents import SqlDocuments
from dagi.stores.keys import Keys
from dagi.stores.members import Daos, MemberAdmin

DEMO_DAO = "greenfood-dao"
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
    """Make the demo DAO when there is no DAO at all; None when there is one."""
    clock = SystemClock()
    daos = Daos(database, clock)
    if await daos.all():
        return None
    await daos.create(DEMO_DAO, "GreenFood DAO")
    members = MemberAdmin(database, clock)
    for user_id, role, name in _MEMBERS:
        await members.create(DEMO_DAO, user_id, [role], name=name)
    ingest = Ingest(SqlDocuments(database, clock.now))
    for name, markdown in demo_documents():
        await ingest.add(DEMO_DAO, name, markdown.encode())
    made = await Keys(database, clock).create(DEMO_DAO, "admin", label="demo key of the first start", act_as=True)
    write_private(installation.demo_key_file, made.key.encode())
    return DemoMade(DEMO_DAO, made.key)
