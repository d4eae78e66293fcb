"""The stage `evaluate` and the verb on Ray: several models and tasks at once, killed in between, with flags."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from crawl2chat.core.errors import InputError
from crawl2chat.core.files import digest, sha256_file
from crawl2chat.core.manifest import Manifest, write_manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.stage import StageContext
from crawl2chat.evaluate.evaluate_stage import evaluate_stage, make_probe
from crawl2chat.evaluate.results import read_results
from crawl2chat.evaluate.scoring import score
from crawl2chat.evaluate.tasks import TASKS
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.pipelines.decontaminate_units import CONTAMINATED_ITEM
from crawl2chat.pipelines.stages import all_stages
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.train.checkpoints import Meta, load_for_inference
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.saving import save
from crawl2chat.train.world import World

from .training_run import play_run

pytestmark = [pytest.mark.ray, pytest.mark.slow]
TEXT = "Question: What is an acid? Answer: An acid is sour and short. The history of it is long, the answer is short."
LIMIT = 60


def random_model(tokenizer: Tokenizer, seed: int) -> Transformer:
    model = Transformer(ModelConfig(tokenizer.vocab_size, 2, 32, 4, 2, feed_forward=40, context=512))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(parameter.dim() == 1, 0.3, generator=generator))
    return model.eval()


def written(folder: Path, model: Transformer, tokenizer: Tokenizer) -> Path:
    folder.mkdir(parents=True)
    meta = Meta(0, 0, model.config.to_dict(), tokenizer.digest, "test", {}, {})
    return save(folder, model, torch.optim.SGD(model.parameters(), lr=0.0), meta, World(), "a", keep=1)


def finish(run: Run, stage: str, facts: dict[str, Any]) -> None:
    manifest = Manifest(
        stage=stage, version=1, config={}, fingerprint=digest(stage), inputs={}, files=[], counters={}, facts=facts,
        code_version="test", seconds=0.0,
    )  # fmt: skip
    write_manifest(run.stage(stage), manifest)


@pytest.fixture
def run(tmp_path: Path, shared_data: Path) -> Run:
    """A run whose two models are made, and in whose documents three items of PIQA were found."""
    piqa = str(shared_data / "eval-tasks/piqa_val.jsonl.gz")
    recipe = Recipe.model_validate(
        {
            "name": "small",
            "storage": str(tmp_path),
            "sources": [{"name": "wiki", "kind": "jsonl", "paths": ["x.jsonl"]}],
            "instructions": {},
            "decontaminate": {"sets": [{"name": "p", "paths": [piqa], "fields": ["goal"]}]},
            "evaluate": {
                "tasks": ["piqa", "mmlu"], "data": str(shared_data), "limit": LIMIT, "chunk": 16, "shots": {"mmlu": 1}
            },
        }
    )  # fmt: skip
    run = Run(recipe)
    data = train_tokenizer([[TEXT] * 4], 330)
    tokenizer = Tokenizer(data)
    run.stage("tokenizer").mkdir(parents=True)
    (run.stage("tokenizer") / "tokenizer.json").write_bytes(data)
    finish(run, "tokenizer", {"digest": tokenizer.digest})
    for seed, stage in enumerate(("pretrain", "finetune")):
        path = written(run.stage(stage) / "checkpoints", random_model(tokenizer, seed), tokenizer)
        finish(run, stage, {"checkpoint": path.relative_to(run.stage(stage)).as_posix()})
    rows = [{"set": "p", "item": item, "documents": 1} for item in (0, 5, 1000)]
    run.stage("decontaminate").mkdir()
    pq.write_table(pa.Table.from_pylist(rows, schema=CONTAMINATED_ITEM), run.stage("decontaminate") / "items.parquet")
    finish(run, "decontaminate", {})
    return run


def bring(run: Run) -> list[bool]:
    """Bring the stage up to date; whether it ran."""
    [stage] = [one for one in all_stages(run.recipe) if one.name == "evaluate"]
    assert set(stage.inputs) == {"tokenizer", "pretrain", "finetune", "decontaminate"}
    return [planned.todo for planned, _ in bring_up_to_date([stage], run, nullcontext)]


def test_two_models_in_two_tasks(local_ray: None, run: Run, shared_data: Path) -> None:
    assert bring(run) == [True]
    results = read_results(run.stage("evaluate"))
    found = {(one.model, one.task, one.part, one.figure): one for one in results}
    tokenizer = Tokenizer.load(run.stage("tokenizer") / "tokenizer.json")
    task = TASKS["piqa"]
    items = task.load(shared_data)[:LIMIT]
    for stage in ("pretrain", "finetune"):
        facts = run.need(stage).facts
        model, _ = load_for_inference(run.stage(stage) / facts["checkpoint"])
        records = score(model, tokenizer, task, items)
        for name in ("acc", "acc_norm"):
            one = found[stage, "piqa", "all", name]
            assert one.value == np.mean([getattr(record, name) for record in records]) and one.items == LIMIT
        assert (found[stage, "piqa", "contaminated", "acc"].items, found[stage, "piqa", "clean", "acc"].items) == (
            2,
            58,
        )
        assert found[stage, "mmlu", "all", "acc_macro"].items == LIMIT
        assert (stage, "mmlu", "clean", "acc") not in found, "nobody looked for MMLU's items"
    assert found["pretrain", "piqa", "all", "bits_per_byte"] != found["finetune", "piqa", "all", "bits_per_byte"]
    counters = run.need("evaluate").counters
    assert counters["items"] == 4 * LIMIT and counters["items_contaminated"] == 2
    assert counters["acc.piqa.finetune"] == found["finetune", "piqa", "all", "acc"].value
    assert bring(run) == [False]


def test_an_evaluation_goes_on_with_what_is_missing(local_ray: None, run: Run) -> None:
    stage = evaluate_stage(("pretrain", "finetune"), True)
    inputs = {name: run.need(name) for name in stage.inputs}
    folder = run.folder / "work"
    context = StageContext(run, folder, inputs, Progress("evaluate"))
    whole = stage.work(context)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.jsonl")}
    assert len(before) == 4 * 4
    lost = sorted(before)[1::3]
    for path in lost:
        path.unlink()
    again = stage.work(context)
    assert again == whole, "the same bytes"
    assert {path for path, time_ns in before.items() if path.stat().st_mtime_ns != time_ns} == set(lost)


def test_a_model_from_elsewhere_gets_the_flags_of_the_run(run: Run, tmp_path: Path) -> None:
    """--model with --run: the run's ledger says which items were found in its documents."""
    tokenizer = Tokenizer.load(run.stage("tokenizer") / "tokenizer.json")
    written(tmp_path / "model", random_model(tokenizer, 3), tokenizer)
    (tmp_path / "model" / "tokenizer.json").write_bytes(tokenizer.data)
    run.write_recipe()
    command = [sys.executable, "-m", "crawl2chat", "evaluate", "--run", str(run.folder), "--model", "model"]
    options = ["--tasks", "piqa", "--limit", "20", "--shots", "0,1", "--chat", "--out", "out"]
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    done = subprocess.run([*command, *options], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    assert [(row["shots"], row["row"]) for row in rows if row["contaminated"]] == [(0, 0), (0, 5), (1, 0), (1, 5)]
    found = {(one.shots, one.part): one.items for one in read_results(tmp_path / "out") if one.figure == "acc"}
    assert found == {
        (n, part): items for n in (0, 1) for part, items in (("all", 20), ("clean", 18), ("contaminated", 2))
    }


def test_a_killed_command_ends_with_the_same_bytes(shared_data: Path, tmp_path: Path) -> None:
    data = train_tokenizer([[TEXT] * 4], 330)
    model = random_model(Tokenizer(data), 3)
    written(tmp_path / "model", model, Tokenizer(data))
    (tmp_path / "model" / "tokenizer.json").write_bytes(data)

    def start(out: str) -> subprocess.Popen[str]:
        environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
        options = ["--model", "model", "--tasks", "winogrande,sst2,copa", "--data", str(shared_data), "--out", out]
        return subprocess.Popen(
            [sys.executable, "-m", "crawl2chat", "evaluate", *options, "--json"],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    process, units = start("killed"), tmp_path / "killed" / "units"
    deadline = time.monotonic() + 240
    while not (units.is_dir() and any(units.glob("*.json"))):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    done = {path: path.stat().st_mtime_ns for path in units.glob("*.json")}
    assert 0 < len(done) < 10 and not (tmp_path / "killed/results.json").exists()
    for out in ("killed", "whole"):
        process = start(out)
        output, _ = process.communicate(timeout=600)
        assert process.returncode == 0, output
    assert json.loads(output.splitlines()[-1])[0]["model"] == "model" and "sst2" in output
    assert {path: path.stat().st_mtime_ns for path in done} == done, "what was done is not done again"
    for name in ("results.json", "items.parquet"):
        assert sha256_file(tmp_path / "killed" / name) == sha256_file(tmp_path / "whole" / name)


def test_pretraining_looks_at_tasks(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    """On Ray Train with two workers, through the stage: rows of metrics, and the losses of a run without."""
    section = {"tasks": ["mmlu"], "data": str(shared_data), "while_training": {"every": 10, "limit": 20}}
    train = {"steps": 20, "batch": 8, "log_every": 1, "validate_every": 20, "checkpoint_every": 20}
    losses = {}
    for name, sections in (("with", {"evaluate": section}), ("without", {})):
        run = play_run(tmp_path / name, shared_data, train, resources={"cpus": 2}, **sections)
        [stage] = [one for one in all_stages(run.recipe) if one.name == "pretrain"]
        list(bring_up_to_date([stage], run, nullcontext))
        rows = read_metrics(run.stage("pretrain"))
        losses[name] = [row["loss"] for row in rows if "loss" in row]
        looked = [row for row in rows if "eval/mmlu/acc" in row]
        assert [row["step"] for row in looked] == ([10, 20] if sections else [])
        assert all(0 <= row["eval/mmlu/acc"] <= 1 and row["eval/mmlu/bits_per_byte"] > 0 for row in looked)
    assert losses["with"] == losses["without"] and len(losses["with"]) == 20


def test_fine_tuning_and_alignment_look_at_tasks(local_ray: None, shared_data: Path, tmp_path: Path) -> None:
    section = {"tasks": ["mmlu"], "data": str(shared_data), "while_training": {"every": 5, "limit": 20}}
    chats = tmp_path / "chats.jsonl"
    chats.write_text("".join(json.dumps({"prompt": f"{n}?", "response": f"{n}."}) + "\n" for n in range(40)))
    pairs = tmp_path / "pairs.jsonl"
    rows = ({"prompt": f"{n}?", "chosen": f"{n}.", "rejected": f"{n}!"} for n in range(40))
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run = play_run(
        tmp_path, shared_data, {"steps": 4, "batch": 8, "validate_every": 4, "checkpoint_every": 4},
        finetune={"data": {"paths": [str(chats)]}, "steps": 10, "batch": 8, "ending_prompts": 0},
        align={"data": {"paths": [str(pairs)]}, "steps": 5, "batch": 4, "checkpoint_every": 5},
        resources={"cpus": 2}, evaluate=section,
    )  # fmt: skip
    base, tuned, aligned = (looks(run, name) for name in ("pretrain", "finetune", "align"))
    assert [step for step, _ in base] == [4]
    assert [step for step, _ in tuned] == [0, 5, 10] and [step for step, _ in aligned] == [0, 5]
    assert len({base[-1][1], tuned[-1][1], aligned[-1][1]}) == 3 and base[-1][1] > 0
    for before, after in ((base, tuned), (tuned, aligned)):
        assert after[0][1] == pytest.approx(before[-1][1], rel=1e-5), "it begins at the model that there was"
    grpo = {"group": 4, "max_tokens": 6, "held_out": 6, "updates": 2}
    other = {"method": "grpo", "grpo": grpo, "steps": 6, "batch": 2, "checkpoint_every": 6, "validate_every": 6}
    again = Run(Recipe.model_validate(run.recipe.model_dump(mode="json") | {"align": other}))
    assert [step for step, _ in looks(again, "align")] == [0, 5, 6]


def looks(run: Run, name: str) -> list[tuple[int, float]]:
    """Steps at which a stage, brought up to date, looked at MMLU, and the bits per byte there."""
    [stage] = [one for one in all_stages(run.recipe) if one.name == name]
    list(bring_up_to_date([stage], run, nullcontext))
    key = "eval/mmlu/bits_per_byte"
    return [(row["step"], row[key]) for row in read_metrics(run.stage(name)) if key in row]


def test_what_the_model_could_not_score_is_named_before_it_is_trained(run: Run) -> None:
    """PIQA's longest solutions have more tokens than a context of 64."""
    evaluate = run.recipe.evaluate
    assert evaluate is not None
    for task, context, fits in (("mmlu", 64, True), ("piqa", 64, False), ("piqa", 512, True)):
        during = {"every": 3, "tasks": [task], "limit": 60, "shots": 2}
        section = type(evaluate).model_validate({**evaluate.model_dump(), "while_training": during})
        model = run.recipe.model.model_copy(update={"context": context})
        watched = Run(run.recipe.model_copy(update={"evaluate": section, "model": model}))
        ctx = StageContext(watched, watched.folder, {"tokenizer": run.need("tokenizer")}, Progress("pretrain"))
        with nullcontext() if fits else pytest.raises(InputError, match="the model's context 64"):
            every, _ = make_probe(ctx)
            assert every == 3
