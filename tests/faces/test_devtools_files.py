"""The tools of files over HTTP, in the service as the configuration puts it together."""

import json
import socket
from pathlib import Path

import httpx
import pytest
from tests.conftest import DAO, Founded

from dagi.assemble.devtools import opened_devtools, serving_devtools
from dagi.assemble.installation import Choice, Installation

pytestmark = pytest.mark.anyio


async def test_a_file_is_written_read_searched_and_kept_in_bounds(tmp_path: Path, founded: Founded) -> None:
    settings = {
        "version": "0.3.0",
        "environment": "development",
        "data_dir": str(tmp_path / "data"),
        "devtools": {"workspaces": {"max_mb": 1, "max_files": 20}},
    }
    file = tmp_path / "dagi.yml"
    file.write_text(json.dumps(settings), encoding="utf-8")
    founded.copy("demo", tmp_path / "data")
    installation = Installation.of(Choice(config=str(file)))
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    async with (
        opened_devtools(installation, url) as devtools,
        serving_devtools(devtools, installation, listener),
        httpx.AsyncClient(base_url=url, timeout=30) as http,
    ):

        async def post(tool: str, **params: object) -> httpx.Response:
            answer = await http.post(f"/fs/{tool}", json={"dao_id": DAO, **params})
            assert str(tmp_path) not in answer.text
            return answer

        written = (await post("write", path="src/казна.py", content="spent = 1\n")).json()["result"]
        assert (await post("read", path="src/казна.py", numbered=True)).json()["result"]["content"] == "     1\tspent = 1\n"
        edit = [{"old": "= 1", "new": "= 2"}]
        edited = (await post("write", path="src/казна.py", edits=edit, if_match=written["etag"])).json()["result"]
        assert edited["diff"].splitlines()[-2:] == ["-spent = 1", "+spent = 2"]
        found = (await post("search", pattern="SPENT", case_sensitive=False, include=["**/*.py"])).json()["result"]
        assert [(hit["path"], hit["line"]) for hit in found["hits"]] == [("src/казна.py", 1)]
        assert (await post("move", path="src", to="lib")).status_code == 200
        assert [entry["path"] for entry in (await post("list", depth=2)).json()["result"]["entries"]] == ["lib", "lib/казна.py"]
        for tool, params, status, field in (
            ("read", {"path": "../../../../etc/passwd"}, 400, "params.path"),
            ("read", {"path": "lib/\x00"}, 400, "params.path"),
            ("read", {"path": "none"}, 404, "params.path"),
            ("write", {"path": ".git/config", "content": "x"}, 400, "params.path"),
            ("write", {"path": "lib/казна.py", "edits": edit}, 409, "params.edits[0].old"),
            ("write", {"path": "lib/казна.py", "content": "x", "if_match": written["etag"]}, 412, "params.if_match"),
            ("write", {"path": "large", "content": "x" * (1 << 20)}, 413, None),
            ("delete", {"path": "lib"}, 409, "params.path"),
            ("delete", {"path": ""}, 400, "params.path"),
            ("search", {"pattern": "(", "regex": True}, 400, "params.pattern"),
        ):
            refused = await post(tool, **params)
            assert (refused.status_code, refused.json().get("field")) == (status, field), refused.text
        assert (await post("delete", path="lib", recursive=True)).json()["result"] == {"path": "lib", "deleted": 2}
