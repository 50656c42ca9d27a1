"""What the API description says, held against what the router does, by a stranger: schemathesis asks whatever the description allows, and
much that it does not.
"""

import asyncio
import sys
from pathlib import Path

import pytest

from dagi.stores.daos import Daos
from dagi.testing.clock import FakeClock

pytestmark = [pytest.mark.anyio, pytest.mark.process]
EXAMPLES = 10
# The same handlers under a second address, for clients with another idea of the base URL.
TWICE = r"^/(chat|models|embeddings|responses)\b"
# What a question is goes beyond what a description can say: one of two keys, a last turn that is the user's, an identity of a known form.
LEFT_OUT = "positive_data_acceptance"


@pytest.mark.parametrize("service", ["router", "rbac"])
async def test_every_endpoint_does_what_the_description_says(start, tmp_path: Path, service: str) -> None:
    # Outside of development every endpoint but two needs a key, so whether keys are asked for is tried as well.
    # What is switched off answers 503, which is what this looks for.
    (tmp_path / "secret").write_text("1:secret", encoding="utf-8")
    secret = str(tmp_path / "secret")
    identities = {
        "siwe": {"domain": "dao.example"},
        "telegram": {"bot_token_file": secret},
        "discord": {"client_id": "1", "client_secret_file": secret, "redirect_url": "https://dao.example/cb"},
    }
    async with start(environment="staging", dao={"demo": False}, identities=identities) as stack:
        database = stack.installation.database()
        await Daos(database, FakeClock()).create("greenfood-dao", "GreenFood DAO")
        await database.close()
        await stack.front.directory.refresh()
        key = await stack.key("admin", act_as=True)
        command = (
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{stack.url if service == 'router' else stack.rbac_url}/openapi.json"),
            *("--header", f"Authorization: Bearer {key}"),
            *("--checks", "all", "--exclude-checks", LEFT_OUT, "--phases", "examples,coverage,fuzzing", "--exclude-path-regex", TWICE),
            *("--max-examples", str(EXAMPLES), "--generation-deterministic", "--seed", "1"),
            *("--generation-allow-x00", "true", "--request-timeout", "20", "--no-color"),
            *("--suppress-health-check", "all", "--no-shrink", "--continue-on-failure"),
        )
        process = await asyncio.create_subprocess_exec(
            *command, cwd=tmp_path, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        said, _ = await asyncio.wait_for(process.communicate(), 100)
    assert process.returncode == 0, said.decode()[-20_000:]
    assert b"generated" in said
