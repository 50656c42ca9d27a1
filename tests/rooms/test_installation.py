"""What is put together from a configuration: the demo DAO, the doctor's findings, plugins that are broken."""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
import yaml
from sqlalchemy.exc import DatabaseError

from dagi.assemble.demo import DemoMade, seed_demo
from dagi.assemble.diagnosis import diagnose
from dagi.assemble.installation import Choice, Installation, Running, born
from dagi.assemble.providers import read_providers
from dagi.assemble.start import prepare
from dagi.cli.stack import running
from dagi.errors import ConfigError, Missing
from dagi.knowledge.demo import DAO_ID, demo_documents
from dagi.stores.daos import Daos
from dagi.stores.keys import Keys
from dagi.stores.members import MemberAdmin
from dagi.stores.upgrade import upgrade
from dagi.testing.clock import FakeClock

pytestmark = pytest.mark.anyio


def choice(tmp_path: Path, profile: str = "dev", **changes: object) -> Choice:
    path = tmp_path / "my own.yml"
    quiet = {"knowledge": {"embedder": False}, "server": {"port": 0}, "data_dir": str(tmp_path / "data")}
    path.write_text(yaml.safe_dump({**quiet, **changes}), encoding="utf-8")
    return Choice(profile=profile, config=str(path))


async def seeded(installation: Installation) -> DemoMade | None:
    database = installation.database()
    try:
        await upgrade(database)
        return await seed_demo(installation, database)
    finally:
        await database.close()


def sql(installation: Installation, statement: str) -> None:
    with closing(sqlite3.connect(installation.database_place(), isolation_level=None)) as connection:
        connection.execute(statement)


async def findings(of: Installation) -> Mapping[str, tuple[str, str]]:
    return {report.about: (report.finding.severity, report.finding.what + " " + report.finding.fix) async for report in diagnose(of)}


@pytest.mark.parametrize("table", ["membership", "document", "api_key"])
async def test_a_seeding_that_was_interrupted_is_finished_by_the_next_start(tmp_path: Path, table: str) -> None:
    installation = Installation.of(choice(tmp_path))
    database = installation.database()
    await upgrade(database)
    # The second row of the table is where it ends; for keys the first.
    after = 0 if table == "api_key" else 1
    broken = f"BEGIN SELECT RAISE(ABORT, 'pulled the plug') WHERE (SELECT count(*) FROM {table}) > {after}; END"  # noqa: S608
    sql(installation, f"CREATE TRIGGER plug AFTER INSERT ON {table} {broken}")
    with pytest.raises((DatabaseError, Missing)):
        await seed_demo(installation, database)
    assert not installation.demo_key_file.exists()
    sql(installation, "DROP TRIGGER plug")
    made = await seed_demo(installation, database)
    assert made is not None
    assert installation.demo_key_file.read_text(encoding="utf-8") == made.key
    (dao,) = await Daos(database, FakeClock()).all()
    assert (dao.id, dao.members, dao.documents) == (DAO_ID, 4, len(demo_documents()))
    assert await seed_demo(installation, database) is None

    # Whoever loses the key's file gets a new key, and nothing back that was removed since.
    await MemberAdmin(database, FakeClock()).remove(DAO_ID, "tg:guest123")
    installation.demo_key_file.unlink()
    again = await seed_demo(installation, database)
    assert again is not None
    assert again.key != made.key
    assert len(await MemberAdmin(database, FakeClock()).all(DAO_ID)) == 3
    await database.close()


async def test_a_key_whose_file_was_never_written_is_replaced_and_cannot_be_used(tmp_path: Path) -> None:
    installation = Installation.of(choice(tmp_path))
    await seeded(installation)
    installation.demo_key_file.unlink()
    assert await seeded(installation) is not None
    database = installation.database()
    assert [key.revoked_at is None for key in await Keys(database, FakeClock()).all()] == [False, True]
    await database.close()


async def test_nothing_is_seeded_beside_a_dao_of_ones_own(tmp_path: Path) -> None:
    installation = Installation.of(choice(tmp_path))
    database = installation.database()
    await upgrade(database)
    await Daos(database, FakeClock()).create("mine", "My DAO")
    assert await seed_demo(installation, database) is None
    await Daos(database, FakeClock()).create(DAO_ID, "Mine too")
    assert await seed_demo(installation, database) is None
    assert await MemberAdmin(database, FakeClock()).all(DAO_ID) == ()
    await database.close()


async def test_the_doctor_says_that_nobody_could_call_a_production_without_a_usable_key(tmp_path: Path) -> None:
    installation = Installation.of(choice(tmp_path, "prod"))
    for _ in range(2):
        severity, told = (await findings(installation))["keys"]
        assert severity == "error"
        assert f"dagi key create --dao my-dao --role admin --profile prod --config '{tmp_path / 'my own.yml'}'" in told
        database = installation.database()
        await upgrade(database)
        await database.close()
    database = installation.database()
    await Daos(database, FakeClock()).create("mine", "My DAO")
    await Keys(database, FakeClock()).create("mine", "admin")
    await database.close()
    assert (await findings(installation))["keys"][0] == "ok"


async def test_a_start_without_a_key_is_refused_with_commands_that_repeat_the_options(tmp_path: Path) -> None:
    chosen = choice(tmp_path, "staging")
    with pytest.raises(ConfigError, match="nobody could call") as caught:
        await prepare(Installation.of(chosen))
    assert caught.value.message.count(f" --profile staging --config '{chosen.config}'") == 2


async def test_the_router_alone_needs_no_secret_of_a_bot_and_a_gateway_without_bots_says_so(tmp_path: Path) -> None:
    bots = [{"name": "main", "dao_id": "a-dao", "token_env": "NONE"}]
    chosen = choice(tmp_path, "staging", channels={"telegram": {"bots": bots}})
    with pytest.raises(ConfigError, match="nobody could call"):
        await prepare(Installation.of(chosen), ["router"])
    with pytest.raises(ConfigError, match="NONE is not set"):
        await prepare(Installation.of(chosen))
    idle = await prepare(Installation.of(choice(tmp_path)), ["gateway"])
    assert "the gateway hears nobody" in " ".join(idle.notes)


async def test_a_data_directory_that_cannot_be_made_is_one_finding_among_the_others(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    chosen = choice(tmp_path, data_dir=str(tmp_path / "taken" / "data"))
    found = await findings(Installation.read(chosen))
    assert found["data directory"][0] == "error"
    assert "set data_dir" in found["data directory"][1]
    assert {"python", "configuration", "port", "database", "provider dao_facts"} - set(found) <= {"provider dao_facts"}
    with pytest.raises(ConfigError, match="data_dir"):
        Installation.of(chosen)


async def test_a_database_server_that_is_down_is_a_finding_and_not_the_end_of_the_examination(tmp_path: Path) -> None:
    found = await findings(Installation.of(choice(tmp_path, database={"url": "postgresql://somebody:s3cret@127.0.0.1:1/dagi"})))
    assert found["database"][0] == "error"
    assert "the server cannot be reached (Connection refused)" in found["database"][1]
    assert "s3cret" not in str(found)


@pytest.mark.parametrize("body", ["import no_such_library", "raise RuntimeError('boom\\nsecond line')", "other = 1"])
def test_a_plugin_that_cannot_be_imported_is_told_at_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str) -> None:
    name = f"broken_plugin_{abs(hash(body))}"
    site = tmp_path / "site"
    (site / "broken_plugin-1.0.dist-info").mkdir(parents=True)
    (site / "broken_plugin-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1.0\n")
    (site / "broken_plugin-1.0.dist-info" / "entry_points.txt").write_text(f"[dagi.providers]\nbroken = {name}:provider\n")
    (site / f"{name}.py").write_text(body + "\n")
    monkeypatch.syspath_prepend(site)
    installation = Installation.of(choice(tmp_path, llm_providers=[{"name": "mine", "type": "broken"}]))
    with pytest.raises(ConfigError, match=r"my own\.yml:\d+ llm_providers\[\d\]\.type: .*broken-plugin cannot be imported") as caught:
        read_providers(installation.loaded)
    assert "\n" not in caught.value.message


def test_another_process_that_got_the_number_of_a_killed_stack_is_not_taken_for_it(tmp_path: Path) -> None:
    told, own = tmp_path / "serve.json", os.getpid()
    for since, lives in ((born(own), True), (1, False)):
        told.write_bytes(msgspec.json.encode(Running(own, "http://127.0.0.1:1", born=since or 0)))
        assert (running(told) is not None) is lives
    assert not Running(2**30, "http://127.0.0.1:1").lives
