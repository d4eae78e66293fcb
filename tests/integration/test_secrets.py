"""Secrets planted in a recipe's addresses and in the environment: no file of the run and no output holds one."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

pytestmark = [pytest.mark.ray, pytest.mark.slow]

USER, PASSWORD, TOKEN = "jane-the-owner", "swordfish-7731", "tok-5f2a9c"
ENVIRONMENT = {
    "HF_TOKEN": "hf-planted-4411",
    "AWS_SECRET_ACCESS_KEY": "aws/planted+9021",
    "CRAWL2CHAT_API_KEY": "api-775",
}
PLANTED = [USER, PASSWORD, TOKEN, *ENVIRONMENT.values(), "aws%2Fplanted%2B9021"]
TEXTS = [f"In the year {year} the river rose, and the people of the town moved to the hills." for year in range(40)]


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """A table that is only given to who knows user, password and token."""
    body = "".join(json.dumps({"text": text, "id": str(n)}) + "\n" for n, text in enumerate(TEXTS)).encode()
    known = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            allowed = self.headers.get("Authorization") == known and self.path == f"/notes.jsonl?token={TOKEN}"
            answer = body if allowed else b"who are you?"
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer if self.command == "GET" else b"")

        do_HEAD = do_GET

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://{{}}127.0.0.1:{server.server_port}/notes.jsonl?token={TOKEN}"
    server.shutdown()
    server.server_close()


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | ENVIRONMENT
    words = [sys.executable, "-m", "crawl2chat", *arguments]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)


def write_recipe(folder: Path, path: str) -> None:
    recipe = {
        "name": "r",
        "storage": "runs",
        "sources": [{"kind": "jsonl", "name": "notes", "paths": [path], "id": "id"}],
        "language": {"keep": [], "threshold": 0},
        "filters": dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb")),
        "resources": {"cpus": 2},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))


def holding(folder: Path, *outputs: str) -> list[str]:
    """Which secrets stand where: in the names and bytes of every file below the run, and in what was printed."""
    files = {str(path): path.name.encode() + path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert len(files) > 10
    told = files | {f"output {number}": text.encode() for number, text in enumerate(outputs)}
    return [f"{secret} in {where}" for where, data in told.items() for secret in PLANTED if secret.encode() in data]


def test_a_run_from_an_address_with_credentials_keeps_none_of_them(tmp_path: Path, address: str) -> None:
    write_recipe(tmp_path, address.format(f"{USER}:{PASSWORD}@"))
    done = command(tmp_path, "data", "recipe.yaml", "--verbose")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "r"
    kept = list((run / "logs" / "ray").rglob("*.log"))
    assert (run / "report.html").is_file() and kept, "the report and Ray's logs are among the files"
    assert holding(run, done.stdout, done.stderr) == []

    again = command(tmp_path, "data", "recipe.yaml")
    assert "nothing to do" in again.stdout, "with which credentials it was read does not matter to what is there"
    alone = command(tmp_path, "data", "--run", "runs/r")
    assert alone.returncode == 2 and "holds no credentials" in alone.stderr


def test_what_fails_does_not_tell_them_either(tmp_path: Path, address: str) -> None:
    """A wrong password, and a file whose name is a secret of the environment."""
    write_recipe(tmp_path, address.format(f"{USER}:{PASSWORD}-no@"))
    wrong = command(tmp_path, "data", "recipe.yaml", "--verbose")
    assert wrong.returncode == 2 and "http://***@127.0.0.1" in wrong.stderr
    write_recipe(tmp_path, f"/nowhere/{ENVIRONMENT['HF_TOKEN']}.jsonl")
    absent = command(tmp_path, "data", "recipe.yaml", "--verbose")
    assert absent.returncode == 2 and "/nowhere/***.jsonl" in absent.stderr
    said = wrong.stdout + wrong.stderr + absent.stdout + absent.stderr
    assert [secret for secret in PLANTED if secret in said] == []
