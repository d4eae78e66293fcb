"""`crawl2chat model`: the figures of a recipe, as table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from crawl2chat.cli import main
from crawl2chat.core.recipe import load_recipe
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.memory import memory


def test_json_has_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    sets = ["--set", "model.family=gpt2", "--set", "train.precision=bf16", "--set", "train.micro_batch=2"]
    assert main(["model", "tiny", "--ranks", "4", "--json", *sets]) == 0
    found = json.loads(capsys.readouterr().out)
    config = ModelConfig.from_settings(load_recipe("tiny", sets[1::2]).model, 2048)
    assert found["parameters"] == config.parameters()
    assert found["flops_per_token"] == config.flops_per_token()
    assert found["parameters_in_blocks"] == config.parameters() - 128 * (2048 + 256) - 2 * 128
    rows = {(row["strategy"], row["checkpointing"]): row for row in found["memory"]}
    assert len(rows) == 9
    wanted = memory(config, 2, "fsdp", ranks=4, precision="bf16", checkpointing="full")
    assert rows["fsdp", "full"]["total"] == wanted.total
    assert rows["single", "none"]["weights"] == 4 * config.parameters()


def test_the_table_fits_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["model", "tiny"]) == 0
    printed = capsys.readouterr()
    text = printed.out + printed.err
    assert "1,049,984 parameters, 787,712 of them in blocks" in text
    assert "…" not in text
    assert text.count("selective") == 3


def test_wrong_ranks_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["model", "tiny", "--ranks", "0"]) == 2


def test_a_vocabulary_of_files_has_their_size(capsys: pytest.CaptureFixture[str], shared_data: Path) -> None:
    folder = shared_data / "gpt2-bpe"
    sets = [f"tokenizer.files.vocab={folder / 'encoder.json.gz'}", f"tokenizer.files.merges={folder / 'vocab.bpe.gz'}"]
    assert main(["model", "tiny", "--json", "--set", sets[0], "--set", sets[1]]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["parameters"] == ModelConfig.from_settings(load_recipe("tiny").model, 50260).parameters()
