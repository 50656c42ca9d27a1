"""Keys, limits and spend, as an operator types them beside a running stack."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from dagi.stores.dao_limits import DaoLimits
from dagi.testing.clock import FakeClock

pytestmark = [pytest.mark.anyio, pytest.mark.process]
DAO = "greenfood-dao"


@pytest.fixture
def dagi(stack, tmp_path: Path):
    async def run(*arguments: str, expect: int = 0) -> str:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("DAGI")}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "dagi",
            *arguments,
            "--config",
            str(tmp_path / "dagi.yml"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=environment,
        )
        out, err = await asyncio.wait_for(process.communicate(), 60)
        assert process.returncode == expect, err.decode()
        return out.decode() if expect == 0 else err.decode()

    return run


async def test_a_key_lives_from_its_making_to_its_end(stack, dagi) -> None:
    limits = ("--rpm", "60", "--tokens-per-day", "5000", "--money-per-month", "2.50")
    made = json.loads(await dagi("key", "create", "--dao", DAO, "--role", "member", "--expires", "90d", *limits, "--json"))
    assert made["key"].startswith(f"dagi_{made['id']}_")
    assert made["id"] in await dagi("key", "list", "--dao", DAO)
    await stack.front.directory.refresh()

    async def status(key: str) -> int:
        body = {"prompt": "Hello?", "metadata": {"plain": True}}
        return (await stack.http.post("/route", json=body, headers={"authorization": f"Bearer {key}"})).status_code

    assert await status(made["key"]) == 200
    rotated = json.loads(await dagi("key", "rotate", made["id"], "--overlap", "24h", "--json"))
    assert (rotated["id"], rotated["key"] != made["key"]) == (made["id"], True)
    await stack.front.directory.refresh()
    assert (await status(made["key"]), await status(rotated["key"])) == (200, 200)
    await stack.front.router.ports.dialogs.saved()
    shown = json.loads(await dagi("key", "show", made["id"], "--json"))
    told = {name: shown[name] for name in ("rpm", "tokens_per_day", "money_per_month", "role", "revoked_at")}
    assert told == {"rpm": 60, "tokens_per_day": 5000, "money_per_month": 2.5, "role": "member", "revoked_at": None}
    assert shown["last_used_at"]
    assert shown["previous_until"]
    assert "digest" not in str(shown)
    changed = json.loads(await dagi("key", "limits", made["id"], "--rpm", "none", "--money-per-month", "default", "--json"))
    assert (changed["rpm"], changed["tokens_per_day"], changed["money_per_month"]) == ("none", 5000, None)
    await dagi("key", "revoke", made["id"])
    await stack.front.directory.refresh()
    assert await status(rotated["key"]) == 401
    assert "has ended" in await dagi("key", "rotate", made["id"], expect=5)


async def test_what_a_dao_may_use_is_set_and_what_it_used_is_shown(stack, dagi) -> None:
    told = json.loads(await dagi("dao", "limits", DAO, "--rpm", "600", "--tokens-per-day", "100000", "--money-per-month", "25", "--json"))
    assert told == {"dao_id": DAO, "rpm": 600, "tokens_per_day": 100_000, "money_per_month": 25.0}
    assert "25.00" in await dagi("dao", "limits", DAO)
    database = stack.installation.database()
    assert (await DaoLimits(database, FakeClock()).show(DAO)).money_per_month == 25_000_000
    await database.close()
    used = (await stack.route("Hello?", metadata={"plain": True})).json()["usage"]["total_tokens"]
    await stack.front.router.ports.dialogs.saved()
    lines = {line["of"]: line for line in json.loads(await dagi("spend", "--dao", DAO, "--json"))}
    assert {of: (line["id"], line["requests"], line["tokens"]) for of, line in lines.items()} == {
        "dao": (DAO, 1, used),
        "user": ("tg:12345", 1, used),
    }
    assert (lines["dao"]["money_per_month"], lines["dao"]["tokens_per_day"], lines["user"]["rpm"]) == (25, 100_000, None)
    assert "tg:12345" in await dagi("spend", "--user", "tg:12345")
    assert "Nothing was used in 2020-01." in await dagi("spend", "--month", "2020-01")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (("dao", "limits", DAO, "--rpm", "0"), 2, "--rpm takes a whole number"),
        (("dao", "limits", DAO, "--money-per-month", "-1"), 2, "an amount of money"),
        (("dao", "limits", DAO, "--money-per-month", "NaN"), 2, "an amount of money"),
        (("dao", "limits", "none"), 4, "There is no DAO"),
        (("key", "show", "none"), 4, "There is no key"),
        (("spend", "--month", "2026-13"), 2, "is no month"),
        (("spend", "--user", "tg:1", "--key", "k"), 2, "not both"),
    ],
)
async def test_what_is_no_limit_no_month_or_does_not_exist_is_told(dagi, arguments: tuple[str, ...], status: int, told: str) -> None:
    assert told in await dagi(*arguments, expect=status)


async def test_doctor_tells_a_server_that_does_not_answer_and_models_without_a_price(stack, dagi, tmp_path: Path) -> None:
    await dagi("dao", "limits", DAO, "--money-per-month", "25")
    file = tmp_path / "dagi.yml"
    file.write_text(file.read_text(encoding="utf-8") + f"limits: {{url: 'unix://{tmp_path}/none'}}\n", encoding="utf-8")
    found = [one["what"] for one in json.loads(await dagi("doctor", "--json")) if one["about"] == "limits"]
    assert [what.split(":")[0] for what in found] == [
        "the server of shared limits does not answer",
        "money is limited, but these have no price and count as free",
    ]
    assert "model, native" in found[1]
