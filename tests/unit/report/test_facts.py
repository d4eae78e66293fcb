"""What the page says of a run, against what its stages wrote."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.cli import main
from crawl2chat.report.flow import Flow
from crawl2chat.report.page import page
from crawl2chat.report.shares import languages, sources
from crawl2chat.report.stages import StageFact
from crawl2chat.report.training import FIRST, MOST, read_training
from crawl2chat.train.metrics import Metrics

from .conftest import EVIL, GERMAN, KEPT, SHORT, STEPS, Written, loss_at

Facts = Callable[[Written], Any]


def test_documents_add_up_from_step_to_step(written: Written, facts_of: Facts) -> None:
    flow: Flow = facts_of(written.extract().dedup().tokens()).flow
    assert [(step.name, step.documents, step.left) for step in flow.steps] == [
        ("records", 7, 0),
        ("read", 6, 1),
        ("extract", 5, 1),
        ("language", 4, 1),
        ("filter", 3, 1),
        ("dedup", 2, 1),
        ("shards", 2, 0),
    ]
    for before, step in zip(flow.steps, flow.steps[1:], strict=False):
        assert step.documents == before.documents - step.left
        assert sum(one.count for one in step.reasons) == step.left
    assert flow.exact


def test_tokens_are_exact_in_the_shards_and_estimated_before(written: Written, facts_of: Facts) -> None:
    flow = facts_of(written.extract().dedup().tokens()).flow
    count = written.run.need("shards").counters
    tokens = {step.name: step.tokens for step in flow.steps}
    assert tokens["shards"] == count["tokens_train"] + count["tokens_validation"]
    assert tokens["records"] is None and tokens["read"] is None, "what has no text yet has no tokens"
    assert tokens["extract"] > tokens["language"] > tokens["filter"] > tokens["dedup"]
    assert tokens["dedup"] == pytest.approx(tokens["shards"], rel=0.02)
    sizes = {step.name: step.bytes for step in flow.steps}
    assert sizes["extract"] - sizes["language"] == len(GERMAN.encode())


def test_each_reason_has_a_sample_with_its_text(written: Written, facts_of: Facts) -> None:
    """Of what extract dropped, from the source again; of what deduplication dropped, as it was stored."""
    flow = facts_of(written.extract().dedup()).flow
    found = {one.reason: one for step in flow.steps for one in step.reasons}
    assert set(found) == {"bad_json", "empty_text", "language", "gopher_short_doc", "minhash_duplicate"}
    texts = {name: one.samples[0].text for name, one in found.items()}
    assert texts["language"] == GERMAN and texts["gopher_short_doc"] == SHORT
    assert texts["minhash_duplicate"].startswith(KEPT[:200])
    assert found["language"].samples[0].detail == "de"
    [copy] = found["minhash_duplicate"].samples
    assert (copy.value, copy.detail) == (0.93, written.documents()[0]["doc_id"])
    assert len(flow.kept) == 1 and flow.kept[0].text


def test_a_source_that_is_gone_costs_texts_alone(written: Written, facts_of: Facts) -> None:
    written.extract()
    (written.folder / "in.jsonl").unlink()
    flow = facts_of(written).flow
    assert {one.samples[0].text for step in flow.steps for one in step.reasons} == {""}
    assert flow.steps[-1].documents == 3


def test_a_stage_made_from_an_earlier_output_is_left_out_and_named(written: Written, facts_of: Facts) -> None:
    written.extract().dedup().tokens()
    before = written.run.need("extract")
    written.finish("extract", ["crawl"], before.files, counters=before.counters, facts={"changed": True})
    facts = facts_of(written)
    assert [step.name for step in facts.flow.steps][-1] != "shards" and facts.duplicates is None
    assert any("dedup was made from an output of extract" in note for note in facts.notes)


def test_sources_and_languages(written: Written, facts_of: Facts) -> None:
    facts = facts_of(written.extract().dedup().tokens())
    [source] = sources(facts.flow, facts.amounts)
    assert (source.name, source.before, source.after, source.share) == ("s", 7, 2, 1.0)
    parts = {part.name: (part.before, part.after) for part in languages(facts.amounts)}
    assert parts == {"en English": (4, 2), "de German": (1, 0)}


def test_the_course_of_training(written: Written, facts_of: Facts) -> None:
    facts = facts_of(written.extract().dedup().tokens().pretrain())
    [one] = facts.trainings
    assert one.step == one.steps == STEPS
    assert one.points("loss")[:2] == [(1.0, loss_at(1)), (2.0, loss_at(2))]
    assert [step for step, _ in one.points("validation_loss", one.checks)] == [20, 40, 60]
    kinds = [(mark.step, mark.kind) for mark in one.marks]
    assert kinds == [(20, "checkpoint"), (33, "spike"), (40, "start"), (40, "checkpoint"), (60, "checkpoint")]
    assert one.marks[2].words == "went on from the checkpoint of step 40 with 1 worker"
    assert one.flops == pytest.approx(STEPS * 128 * 6 * one.counters["parameters"], rel=0.5)
    assert [row["step"] for row in one.samples] == [20, 40, 60]


def test_training_under_way_is_read_from_its_newest_attempt(written: Written, facts_of: Facts) -> None:
    written.extract().dedup().tokens().pretrain(done=25, whole=False)
    with (written.run.stage("pretrain") / "metrics.jsonl").open("a") as file:
        file.write('{"step": 26, "lo')  # as a writer leaves it that is at work
    [one] = facts_of(written).trainings
    assert (one.step, one.steps, one.word) == (25, STEPS, "unfinished")
    written.run.stage("pretrain").rename(written.run.folder / "pretrain.next")
    [one] = facts_of(written).trainings
    assert one.step == 25


def test_values_that_are_no_numbers_are_not_drawn(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    for step, loss in ((1, 3.0), (2, math.nan), (3, math.inf), (4, 2.0)):
        metrics.write({"step": step, "loss": loss})
    metrics.close()
    one = read_training(StageFact("pretrain", "under way", tmp_path, None), 10)
    assert one is not None and one.points("loss") == [(1.0, 3.0), (4.0, 2.0)]


def test_of_a_long_run_some_rows_are_read_with_the_first_and_the_last(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, 0)
    for step in range(1, 20_002):
        metrics.write({"step": step, "loss": 1.0})
    metrics.close()
    one = read_training(StageFact("pretrain", "under way", tmp_path, None), 20_001)
    assert one is not None
    steps = [row["step"] for row in one.rows]
    assert steps[:FIRST] == list(range(1, FIRST + 1)) and steps[-1] == 20_001
    assert MOST // 3 < len(steps) <= MOST + 1
    gaps = [b - a for a, b in zip(steps[FIRST:-1], steps[FIRST + 1 :], strict=False)][:-1]
    assert max(gaps) <= 2 * min(gaps), "evenly"


def test_evaluation_is_read_as_its_stage_writes_it(written: Written, facts_of: Facts) -> None:
    scores = facts_of(written.everything()).scores
    assert [(one.figure, one.subject, one.verdict) for one in scores] == [
        ("acc", "", "chance"),
        ("acc", "", "above chance"),
        ("acc", "physics", "chance"),
        ("bits_per_byte", "", ""),
        ("acc", "", "chance"),
    ]
    assert scores[1].model == f"finetune {EVIL}"


def test_versions_and_processors_are_those_of_the_stage_that_ran(written: Written, facts_of: Facts) -> None:
    """Not those of whoever writes the page; of a manifest that names none, none."""
    written.finish("crawl", made_with={})
    written.finish("pretrain", seconds=90, made_with={"versions": {"torch": "1.9"}, "processors": {"GPU": 4.0}})
    written.finish("finetune", seconds=10)
    making = facts_of(written).making
    assert dict(making.versions) == {"crawl2chat": "0.1.0", "torch": "1.9 (pretrain); 2.0 (finetune)"}
    assert making.processor_seconds == making.training_seconds == {"CPU": 20.0, "GPU": 360.0}
    assert making.unknown == ["crawl"] and making.cost is None


def test_costs_by_the_recipes_prices(tmp_path: Path, facts_of: Facts) -> None:
    prices = {"price_per_cpu_hour": 0.05, "price_per_gpu_hour": 3.0, "currency": "EUR"}
    written = Written(tmp_path, resources=prices)
    written.finish("dedup", seconds=7200)
    written.finish("pretrain", seconds=3600, made_with={"processors": {"CPU": 4.0, "GPU": 2.0}})
    facts = facts_of(written)
    assert [one.cost for one in facts.making.took] == pytest.approx([0.2, 6.2])
    shown = page(facts)
    assert (
        "<b>6.40 EUR</b>" in shown
        and "3 h in all, 6.40 EUR; 8 h of CPU time, 4 h of it for training; 2 h of GPU" in shown
    )


def test_as_json(written: Written, capsys: pytest.CaptureFixture[str]) -> None:
    written.everything()
    assert main(["report", "--run", str(written.run.folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [step["documents"] for step in found["flow"]["steps"]] == [7, 6, 5, 4, 3, 2, 2]
    assert found["duplicates"]["sizes"] == [["2", 1]]
    assert {one["stage"] for one in found["trainings"]} == {"pretrain", "finetune", "align"}
    assert found["making"]["seconds"] == pytest.approx(2.5 * 10 + 90)
    assert not (written.run.folder / "report.html").exists(), "numbers alone write nothing"


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    assert main(["report", "--run", str(tmp_path)]) == 2
