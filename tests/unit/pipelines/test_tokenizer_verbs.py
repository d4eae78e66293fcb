"""`crawl2chat tokenizer report`: the stage's table, other texts, and what it says when there is none."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from crawl2chat.cli import main
from crawl2chat.core.files import write_json, write_text
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.train import train_tokenizer

ROWS = [
    {"language": "en", "documents": 1200, "bytes": 4_500_000, "fertility": 4.512, "unknown": 0.0},
    {"language": "hi", "documents": 3, "bytes": 9000, "fertility": 2.25, "unknown": 0.0125},
]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    source = {"name": "web", "kind": "jsonl", "paths": ["x.jsonl"]}
    run = Run(Recipe.model_validate({"name": "r", "storage": str(tmp_path), "sources": [source]}))
    write_text(run.folder / "recipe.yaml", run.recipe.to_yaml())
    return run


def test_the_stages_table(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    write_json(run.stage("tokenizer") / "fertility.json", ROWS)
    assert main(["tokenizer", "report", "--run", str(run.folder)]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert ["en", "1,200", "4,500,000", "4.51", "0.00%"] in lines
    assert ["hi", "3", "9,000", "2.25", "1.25%"] in lines
    assert main(["tokenizer", "report", "--run", str(run.folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ROWS


def test_other_texts(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = train_tokenizer([["the same words of the same text"] * 9], 300)
    write_text(run.stage("tokenizer") / "tokenizer.json", data.decode())
    (tmp_path / "de.txt").write_text("Größe", encoding="utf-8")
    command = ["tokenizer", "report", "--run", str(run.folder), "--texts", f"de={tmp_path / 'de.txt'}", "--json"]
    assert main(command) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row == {
        **{"language": "de", "documents": 1, "bytes": 7, "unknown": 0.4},
        "fertility": round(7 / len(Tokenizer(data).encode("Größe")), 4),
    }


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], "no report at .*fertility.json"),
        (["--texts", "x.txt"], "not of the form NAME=FILE"),
        (["--texts", "de=absent.txt"], "de=absent.txt: No such file"),
    ],
)
def test_what_is_wrong(run: Run, capsys: pytest.CaptureFixture[str], more: list[str], says: str) -> None:
    data = train_tokenizer([["a"]], 300)
    write_text(run.stage("tokenizer") / "tokenizer.json", data.decode())
    assert main(["tokenizer", "report", "--run", str(run.folder), *more]) == 2
    assert re.search(says, capsys.readouterr().err.replace("\n", " "))
