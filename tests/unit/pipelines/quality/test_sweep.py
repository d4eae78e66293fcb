"""Scores of a unit, and the counts that a sweep makes of them: checked against filtering again."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.manifest import Manifest, write_manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.settings_filters import Filters
from crawl2chat.core.units import Unit
from crawl2chat.pipelines.extract_stage import EXTRACT, extract_unit
from crawl2chat.pipelines.filters import QualityFilters
from crawl2chat.pipelines.quality.sweep import run_sweep, sweep

RULES = [{"name": "figures", "measure": "digit_share", "max": 0.02}]


def text(number: int) -> str:
    """Lines of made-up words: more in later texts, figures in every fourth text, a repeated line in every fifth."""
    draw = random.Random(number)

    def line() -> str:
        words = ["".join(draw.choice("abcdeiorstlmn") for _ in range(draw.randint(3, 8))) for _ in range(9)]
        return " ".join(["Then", "the", *words[:4], "of", *words[4:], *(["1984"] if number % 4 == 0 else [])]) + "."

    lines = [line() for _ in range(2 + number // 3)]
    return "\n".join([*lines, *(lines[:1] if number % 5 == 0 else [])])


TEXTS = [text(number) for number in range(60)]


def made(folder: Path, **filters: Any) -> Run:
    """A run whose stage `extract` is done, without Ray."""
    source = {"kind": "jsonl", "name": "web", "paths": [str(folder / "pages.jsonl")]}
    (folder / "pages.jsonl").write_text("".join(json.dumps({"text": one}) + "\n" for one in TEXTS))
    language = {"keep": [], "threshold": 0}
    recipe = {"name": "r", "storage": str(folder), "sources": [source], "language": language, "filters": filters}
    run = Run(Recipe.model_validate(recipe))
    config = EXTRACT.config(run.recipe)
    spec = {"source": "web", "file": str(folder / "pages.jsonl"), "origin": "pages.jsonl", "key": "pages.jsonl"}
    report = extract_unit(Unit(name="web-00000", spec=spec), run.stage("extract"), config)
    manifest = {"stage": "extract", "version": 1, "config": config, "fingerprint": "", "inputs": {}}
    rest = {"files": report.files, "counters": report.counters, "facts": {}, "code_version": "", "seconds": 0}
    write_manifest(run.stage("extract"), Manifest(**manifest, **rest))
    return run


def kept(filters: dict[str, Any]) -> int:
    judged = QualityFilters(Filters.model_validate(filters)).judge(TEXTS, languages=["en"] * len(TEXTS))
    return sum(verdict.objection is None for verdict in judged)


def test_scores_are_stored_for_kept_and_dropped(tmp_path: Path) -> None:
    run = made(tmp_path, rules=RULES)
    table = pq.read_table(run.stage("extract") / "scores" / "web-00000.parquet")
    counters = run.need("extract").counters
    assert table.num_rows == counters["documents_in"] == len(TEXTS)
    assert 0 < counters["documents"] < len(TEXTS)
    assert table.schema.names == ["doc_id", "source", "lang", "lang_score", *run.recipe.filters.measures()]
    assert table["characters"].to_pylist() == [len(one) for one in TEXTS]
    left = pq.read_table(run.stage("extract") / "documents" / "web-00000.parquet")["doc_id"].to_pylist()
    assert set(left) < set(table["doc_id"].to_pylist())


@pytest.mark.parametrize(
    ("key", "values", "section", "name"),
    [
        ("gopher_quality.min_doc_words", [1, 60, 150], "gopher_quality", "min_doc_words"),
        ("fineweb.char_duplicates_ratio", [0.0, 0.5], "fineweb", "char_duplicates_ratio"),
        ("c4.min_num_sentences", [3, 12], "c4", "min_num_sentences"),
    ],
)
def test_counts_are_those_of_filtering_again(
    tmp_path: Path, key: str, values: list[float], section: str, name: str
) -> None:
    run = made(tmp_path, rules=RULES)
    (found,) = sweep(run, [key], values)
    assert found.documents == len(TEXTS)
    for point in found.points:
        limit = int(point.value) if point.value == int(point.value) else point.value
        assert point.with_others == kept({section: {name: limit}, "rules": RULES}), point
    (recipes,) = [point for point in found.points if point.recipe]
    assert recipes.with_others == run.need("extract").counters["documents"]
    assert len({point.with_others for point in found.points}) > 1


def test_alone_counts_no_other_rule(tmp_path: Path) -> None:
    off = dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))
    (found,) = sweep(made(tmp_path, rules=RULES), ["rules.figures.max"], [0.01, 0.5])
    for point in found.points:
        rules = [{**RULES[0], "max": point.value}]
        assert point.alone == kept({**off, "rules": rules})
        assert point.with_others == kept({"rules": rules})


def test_without_values_quantiles_are_tried(tmp_path: Path) -> None:
    run = made(tmp_path)
    sweeps = {one.key: one for one in sweep(run, ["all"], [])}
    assert {"gopher_repetition.top_n_grams.2", "gopher_quality.min_doc_words", "fineweb.new_line_ratio"} <= set(sweeps)
    words = sweeps["gopher_quality.min_doc_words"].points
    assert len(words) > 5
    assert [point.alone for point in words] == sorted((point.alone for point in words), reverse=True)
    assert {one.key for one in sweep(run, ["c4", "filters.fineweb.new_line_ratio"], [])} == {
        "c4.min_num_sentences",
        "fineweb.new_line_ratio",
    }


def test_tables_and_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(tmp_path)
    assert run_sweep(run, ["gopher_quality.min_doc_words"], [10.0, 100.0], as_json=True) == 0
    found = json.loads(capsys.readouterr().out)["gopher_quality.min_doc_words"]
    assert [one["value"] for one in found["values"]] == [10, 50, 100]
    assert [one["recipe"] for one in found["values"]] == [False, True, False]
    assert run_sweep(run, ["gopher_quality"], [], as_json=False) == 0


def test_what_cannot_be_swept_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no threshold that is switched on"):
        sweep(made(tmp_path, c4=None), ["c4.min_num_sentences"], [])
    with pytest.raises(InputError, match=r"filters\.scores: false"):
        sweep(made(tmp_path, scores=False), ["all"], [])
    off = dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))
    with pytest.raises(InputError, match="no filter with a threshold"):
        sweep(made(tmp_path, **off), ["all"], [])
