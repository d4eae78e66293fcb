"""`crawl2chat evaluate`: from options to the section, and what is refused before anything starts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from crawl2chat.cli import main, parse
from crawl2chat.pipelines.evaluate_verbs import _open, _section


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    source = {"kind": "jsonl", "name": "t", "paths": ["t.jsonl"]}
    Path("t.jsonl").write_text('{"text": "A text."}\n')
    Path("r.yaml").write_text(json.dumps({"name": "r", "sources": [source]}))
    Path("data/eval-tasks").mkdir(parents=True)
    rows = [{"goal": f"G{number}", "sol1": "a", "sol2": "b", "label": number % 2} for number in range(4)]
    Path("data/eval-tasks/piqa_val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Path("r.yaml")


def test_options_are_settings_of_the_recipe(recipe: Path, tmp_path: Path) -> None:
    options = ["--tasks", "piqa, mmlu", "--data", "da ta", "--shots", "2", "--limit", "7", "--set", "evaluate.chunk=5"]
    section = _open(parse(["evaluate", str(recipe), *options])).recipe.evaluate
    assert section is not None
    assert (section.tasks, section.shots, section.limit, section.chunk) == (["piqa", "mmlu"], 2, 7, 5)
    assert section.data == str(tmp_path / "da ta")


def test_several_shots_and_the_chat_template_are_options(recipe: Path) -> None:
    for given, shots in (("0,5", [0, 5]), ("3", 3), ("0, 2", [0, 2])):
        options = parse(["evaluate", "--model", "m", "--tasks", "mmlu", "--shots", given, "--chat"])
        section = _section(None, options)
        assert section.shots == shots and section.chat
    assert not _section(None, parse(["evaluate", "--model", "m", "--tasks", "mmlu"])).chat


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["r.yaml"], "the recipe has no evaluate.tasks"),
        ([], "give a recipe or --run FOLDER"),
        (["r.yaml", "--run", "x"], "give a recipe or --run FOLDER"),
        (["r.yaml", "--tasks", "piqa", "--data", "data", "--out", "x"], "--out goes with --model"),
        (["r.yaml", "--tasks", "piqa", "--data", "data"], "is not up to date"),
        (["r.yaml", "--tasks", "pica"], "no task 'pica'"),
        (["--model", "none", "--tasks", "piqa", "--data", "data"], "none holds no model"),
        (["--model", "none", "--tasks", "piqa", "--data", "nowhere"], "no file"),
        (["--model", "none", "--tasks", "pica"], "no task 'pica'"),
        (["--model", "none", "--data", "data"], "no tasks are named"),
        (["--model", "none", "--tasks", "piqa,piqa"], "names piqa twice"),
        (["--model", "none", "--tasks", "piqa", "--shots", "2,2"], "name each number once"),
        (["--model", "none", "--tasks", "piqa", "--set", "seed=1"], "--set is of a recipe"),
    ],
)
def test_wrong_input_ends_with_2(
    recipe: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *arguments]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert message in said and "fix: " in said
    assert not Path("runs").exists() and not Path("evaluations").exists()


def test_numbers_out_of_range_are_refused(recipe: Path) -> None:
    for option in (["--limit", "0"], ["--shots", "-1"], ["--shots", "x"], ["--shots", "0,-1"], ["--shots", "1,"]):
        with pytest.raises(SystemExit):
            parse(["evaluate", "r.yaml", *option])
