"""What `submit` refuses before a cluster is involved, and what it makes of the recipe that travels."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest
import yaml
from crawl2chat.cli import main
from crawl2chat.core.errors import InputError, RecipeError
from crawl2chat.core.recipe import load_recipe
from crawl2chat.pipelines.submit import _again, submit, travelling

NOBODY = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture(autouse=True)
def no_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """A token that lies in the home folder would switch this process to it, and a Ray that later tests start here."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


def test_a_wrong_recipe_comes_first() -> None:
    with pytest.raises(RecipeError, match=r"unknown key train.stepz"):
        submit("tiny", ["train.stepz=1"], NOBODY)


def test_nobody_listens(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InputError, match="does not answer") as caught:
        submit("tiny", [], NOBODY)
    assert "ray start --head" in caught.value.fix
    assert main(["submit", "tiny", "--address", NOBODY]) == 2
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:8265", "ray://127.0.0.1:10001", "auto"])
def test_another_kind_of_address(address: str) -> None:
    with pytest.raises(InputError, match="is not a web address") as caught:
        submit("tiny", [], address)
    assert "8265" in caught.value.fix


def test_a_web_server_that_is_not_ray() -> None:
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[assignment, method-assign]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with pytest.raises(InputError, match="127.0.0.1"):
        submit("tiny", [], f"http://127.0.0.1:{server.server_port}")
    server.shutdown()


def test_the_environment_does_not_lead_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's client prefers RAY_ADDRESS to the address that it is given."""
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:8")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:7")
    with pytest.raises(InputError, match=r"127\.0\.0\.1:9"):
        submit("tiny", [], NOBODY)
    import os

    assert os.environ["RAY_ADDRESS"] == "http://127.0.0.1:8", "and it is as before afterwards"


def test_paths_travel_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sources = [
        {"name": "a", "kind": "jsonl", "paths": ["texts/a.jsonl", "s3://bucket/b.jsonl", "/data/c.jsonl"]},
        {"name": "b", "kind": "wikipedia", "paths": ["package:gensim/test/dump.xml.bz2"]},
        {"name": "c", "kind": "crawl", "seeds": ["https://example.org/"]},
    ]
    recipe = {"name": "far", "sources": sources, "resources": {"address": "10.0.0.1:6379", "train_workers": 4}}
    Path("far.yaml").write_text(yaml.safe_dump(recipe))
    before = load_recipe("far.yaml")
    after = travelling(before)
    assert after.storage == str(tmp_path / "runs")
    assert [source.paths for source in after.sources if source.kind != "crawl"] == [
        [str(tmp_path / "texts/a.jsonl"), "s3://bucket/b.jsonl", "/data/c.jsonl"],
        ["package:gensim/test/dump.xml.bz2"],
    ]
    assert after.resources.address is None, "the job uses the cluster that it runs on"
    assert after.resources.train_workers == 4
    Path("sent.yaml").write_text(after.to_yaml())
    assert load_recipe("sent.yaml") == after


def test_the_command_to_continue_tells_no_credentials() -> None:
    """It stands in the cluster's list of jobs, and `status` prints it."""
    told = _again("tiny.yaml", ["name=a", "sources.web.seeds=['https://me:planted@host/']"], "data")
    assert "planted" not in told and "https://***@host/" in told
    assert told.startswith("crawl2chat submit tiny.yaml --set name=a --set ") and told.endswith("--verb data")
