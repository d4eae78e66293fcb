"""A run with all that the page can show: documents by the stage's own code, the other files by their own writers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.files import write_json
from crawl2chat.core.manifest import FileEntry, Manifest, file_entry, write_manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.schema import CLUSTER, DROPPED
from crawl2chat.model.config import ModelConfig
from crawl2chat.pipelines.extract_stage import EXTRACT, extract_unit
from crawl2chat.pipelines.reading import units
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.shards import write_shard
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.train.course import add_checkpoint, add_start
from crawl2chat.train.events import add_event
from crawl2chat.train.metrics import Metrics

EVIL = "<script>alert('planted')</script>"
KEPT = "The harbour had been quiet since the morning, and all the boats lay still at the quay of the old town. " * 6
OTHER = "On the hill above the town stood a mill whose wheel had not turned for years, and nobody remembered why. " * 6
GERMAN = "Dies ist ein deutscher Satz über den großen Hafen, und noch einer dazu, der gefallen wird."
SHORT = f"The old man walked along the wall of the house – {EVIL} – and then home."
STEPS = 60


class Written:
    """Writes RUN stage by stage; each call adds one. `rows`: of the source, others than the usual; `columns`: of them,
    `sections`: of the recipe."""

    def __init__(
        self, folder: Path, rows: Sequence[dict[str, str]] = (), columns: dict[str, str] | None = None, **sections: Any
    ) -> None:
        self.folder = folder
        texts = [KEPT, GERMAN, SHORT, f"{OTHER} {EVIL}", " ", KEPT + "It rained."]
        usual = [{"text": text, "title": f"{EVIL} {at}"} for at, text in enumerate(texts)]
        lines = [json.dumps(row) for row in rows or usual] + ([] if rows else ["{broken"])
        (folder / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
        self.recipe = Recipe.model_validate(
            {
                "name": "shown",
                "storage": str(folder),
                "sources": [{"kind": "jsonl", "name": "s", "paths": [str(folder / "in.jsonl")], **(columns or {})}],
                "filters": dict.fromkeys(("gopher_repetition", "c4", "fineweb")),
                "model": {"layers": 1, "width": 32, "heads": 2, "kv_heads": 1, "feed_forward": 64, "context": 16},
                "train": {"steps": STEPS},
                "instructions": {"source": "s"},
                **sections,
            }
        )
        self.run = Run(self.recipe)
        self.run.folder.mkdir(parents=True)
        self.run.write_recipe()
        self.digests: dict[str, str] = {}

    def finish(self, stage: str, inputs: Sequence[str] = (), files: Sequence[FileEntry] = (), **of: Any) -> Manifest:
        """Write a stage's manifest, with the digests of what it was made from."""
        manifest = Manifest(
            stage=stage, version=1, config=of.get("config", {}), fingerprint=f"{stage}-mark", files=list(files),
            inputs={name: self.digests[name] for name in inputs}, counters=of.get("counters", {}),
            facts=of.get("facts", {}), code_version="0.1.0", seconds=of.get("seconds", 2.5),
            made_with=of.get("made_with", {"versions": {"torch": "2.0"}, "processors": {"CPU": 2.0}}),
        )  # fmt: skip
        write_manifest(self.run.stage(stage), manifest)
        write_json(self.run.stage(stage) / "started.json", "mark")
        self.digests[stage] = manifest.digest
        return manifest

    def extract(self) -> Written:
        crawl = self.finish("crawl")
        [unit] = units(self.recipe, self.run.folder, crawl)
        report = extract_unit(unit, self.run.stage("extract"), EXTRACT.config(self.recipe))
        facts = {"sources": {"s": {key: report.counters[key] for key in ("documents_in", "documents", "dropped")}}}
        self.finish("extract", ["crawl"], report.files, counters=report.counters, facts=facts)
        return self

    def documents(self) -> list[dict[str, Any]]:
        return pq.read_table(self.run.stage("extract") / "documents" / "s-00000.parquet").to_pylist()

    def dedup(self) -> Written:
        """The third kept document counts as a copy of the first."""
        folder, rows = self.run.stage("dedup"), self.documents()
        copy, stays = rows[2], rows[0]
        names = ("doc_id", "url", "source", "origin_file", "origin_offset")
        left = {name: copy[name] for name in names}
        left |= {"stage": "dedup", "reason": "minhash_duplicate", "value": 0.93, "detail": stays["doc_id"]}
        members = [{"doc_id": one["doc_id"], "cluster": stays["doc_id"], "keep": one is stays} for one in (stays, copy)]
        files = []
        for name, schema, some in (("dropped", DROPPED, [left]), ("clusters", CLUSTER, members)):
            path = folder / name / "s-00000.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(some, schema=schema), path)
            files.append(file_entry(folder, path, len(some)))
        counters = {"documents_in": 3, "documents": 2, "dropped": 1, "dropped.minhash_duplicate": 1, "clusters": 1}
        precision = {"pairs": 1, "similar": 1, "low": 0.2, "high": 1.0, "comparable": 1, "removed": 1, "unlike": []}
        facts = {"bands": 16, "rows": 6, "precision": precision, "sources": {"s": {"in": 3, "left": 1}}}
        config = {"dedup": {"threshold": 0.8}}
        self.finish("dedup", ["extract"], files, counters=counters | {"largest_cluster": 2}, facts=facts, config=config)
        return self

    def tokens(self) -> Written:
        """A tokenizer of the texts, and their shards: the first document is trained on, the second held out."""
        first, second, _ = self.documents()
        data = train_tokenizer([[first["text"], second["text"]]], 400)
        folder, tokenizer = self.run.stage("tokenizer"), Tokenizer(data)
        folder.mkdir(parents=True)
        (folder / "tokenizer.json").write_bytes(data)
        fertility = {"language": "en", "documents": 2, "bytes": 1200, "fertility": 3.2, "unknown": 0.0}
        write_json(folder / "fertility.json", [fertility])
        entry = file_entry(folder, folder / "tokenizer.json", tokenizer.vocab_size)
        vocabulary = {"vocab_size": tokenizer.vocab_size, "digest": tokenizer.digest}
        self.finish("tokenizer", ["extract", "dedup"], [entry], facts=vocabulary)
        shards, files, counters = self.run.stage("shards"), [], {"documents": 2}
        for split, document in (("train", first), ("validation", second)):
            ids = [*tokenizer.encode(document["text"]), tokenizer.end_of_text]
            path = shards / split / "s-00000.arrow"
            path.parent.mkdir(parents=True)
            write_shard(path, [document["doc_id"]], np.array(ids, np.uint16), np.array([len(ids)]), tokenizer, split)
            files.append(file_entry(shards, path, 1))
            counters |= {f"documents_{split}": 1, f"tokens_{split}": len(ids), f"bytes_{split}": len(document["text"])}
        whole = counters["bytes_train"] + counters["bytes_validation"]
        fit = {"fertility": whole / (counters["tokens_train"] + counters["tokens_validation"] - 2)}
        self.finish("shards", ["extract", "dedup", "tokenizer"], files, counters=counters | fit)
        return self

    def pretrain(self, done: int = STEPS, whole: bool = True) -> Written:
        """Losses that fall, one spike, a resume, checkpoints each twenty steps."""
        folder = self.run.stage("pretrain")
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "started.json", "mark")
        add_start(folder, 0, 2)
        metrics = Metrics(folder, 0)
        for step in range(1, done + 1):
            speeds = {"tokens_per_second": 1000.0 + step, "mfu": 0.1, "data_wait": 0.01, "memory_bytes": 1 << 28}
            row = {
                "step": step,
                "lr": 1e-3,
                "loss": loss_at(step),
                "grad_norm": 1.0 + step % 3,
                "tokens_seen": step * 128,
            }
            metrics.write(row | speeds | {"checkpoint_stall": 0.0, "seconds_left": float(STEPS - step)})
            if step % 20 == 0:
                metrics.write(
                    {"step": step, "validation_loss": loss_at(step) + 0.1, "bits_per_byte": loss_at(step) / 2}
                )
                shares = {"eval/piqa/acc": 0.5 + step / 200, "eval/piqa/acc_norm": 0.5 + step / 400}
                shares |= {"eval/piqa/items": 200, "eval/piqa/chance": 0.5}
                metrics.write({"step": step, **shares, "eval/piqa/bits_per_byte": 2.0, "eval/lambada/perplexity": 90.0})
                add_checkpoint(folder, step)
        metrics.close()
        add_event(folder, {"step": 33, "reason": f"the loss is {EVIL}", "action": "skip", "loss": math.nan})
        add_start(folder, 40, 1)
        with (folder / "samples.jsonl").open("w") as file:
            for step in range(20, done + 1, 20):
                file.write(json.dumps({"step": step, "prompt": "The", "text": f" boats {EVIL} {step}"}) + "\n")
        if whole:
            model = ModelConfig.from_settings(self.recipe.model, 400)
            counters = {
                "steps": STEPS, "parameters": model.parameters(), "tokens_seen": STEPS * 128, "spikes": 1,
                "train_loss": loss_at(STEPS), "validation_loss": loss_at(STEPS) + 0.1, "bits_per_byte": 1.5,
                "tokens_per_second": 1030.0, "baseline_gzip_bpb": 2.9, "baseline_unigram_bpb": 3.8,
            }  # fmt: skip
            self.finish(
                "pretrain", ["tokenizer", "shards"], counters=counters, facts={"model": model.to_dict()}, seconds=90
            )
        return self

    def finetune(self) -> Written:
        folder = self.run.stage("finetune")
        folder.mkdir(parents=True)
        metrics = Metrics(folder, 0)
        metrics.write({"step": 0, "validation_loss": 5.6, "bits_per_byte": 4.0})
        for step in range(10, 101, 10):
            metrics.write({"step": step, "lr": 1e-3, "loss": 5 - step / 40, "grad_norm": 1.0, "tokens_seen": step * 50})
        metrics.write({"step": 100, "validation_loss": 3.5, "bits_per_byte": 2.5})
        metrics.close()
        counters = {
            "steps": 100,
            "examples": 12,
            "examples_cut": 2,
            "validation_loss": 3.5,
            "validation_loss_before": 5.6,
        }
        self.finish("instructions", ["extract", "dedup"])
        self.finish("finetune", ["pretrain", "instructions"], counters=counters)
        return self

    def align(self) -> Written:
        """As DPO logs: losses and margins of batches, accuracies of held-out pairs."""
        folder = self.run.stage("align")
        folder.mkdir(parents=True)
        metrics = Metrics(folder, 0)
        for step in range(0, 51, 10):
            if step:
                metrics.write(
                    {"step": step, "lr": 1e-4, "loss": 0.69 - step / 200, "grad_norm": 1.0, "margin": step / 25}
                )
            metrics.write(
                {"step": step, "validation_loss": 0.69, "preference_accuracy": 0.5 + step / 200, "margin": step / 30}
            )
        metrics.close()
        counters = {"steps": 50, "pairs": 400, "preference_accuracy": 0.75, "preference_accuracy_before": 0.5}
        self.finish("align", ["finetune"], counters=counters, facts={"method": "dpo"})
        return self

    def reward(self) -> Written:
        """In the place of `align`: as a reward model logs, which has no reference."""
        rows = [{"loss": 0.69 - step / 200} for step in range(10, 51, 10)]
        held_out = [
            {"validation_loss": 0.7, "preference_accuracy": 0.4 + step / 100, "margin": step} for step in (0, 50)
        ]
        return self._aligned("reward", rows, held_out)

    def grpo(self) -> Written:
        """In the place of `align`: as GRPO logs, figures of sampled answers, and greedy ones to held-out problems."""
        figures = {"answer_tokens": 9.0, "answers_ended_share": 1.0, "groups_of_one_mind": 0.25}
        rows = [
            {"loss": 1e-4, "reward": step / 100, "kl": step / 1000, **figures, "tokens_seen": step * 64}
            for step in range(10, 51, 10)
        ]
        held_out = [{"held_out_reward": 0.125 + step / 100, "divergence": step / 900} for step in (0, 50)]
        return self._aligned("grpo", rows, held_out)

    def _aligned(self, method: str, rows: list[dict[str, float]], held_out: list[dict[str, float]]) -> Written:
        """50 steps; held-out figures before the first and after the last."""
        folder = self.run.stage("align")
        folder.mkdir(parents=True)
        metrics = Metrics(folder, 0)
        metrics.write({"step": 0, **held_out[0]})
        for at, row in enumerate(rows, 1):
            metrics.write({"step": 10 * at, "lr": 1e-4, "grad_norm": 1.0, **row})
        metrics.write({"step": 50, **held_out[1]})
        metrics.close()
        counters = {"steps": 50, **held_out[1], **{f"{name}_before": one for name, one in held_out[0].items()}}
        self.finish("align", ["finetune"], counters=counters, facts={"method": method})
        return self

    def evaluate(self) -> Written:
        chance = {"task": "arc_easy", "shots": 0, "part": "all", "items": 200, "chance": 0.25}
        rows = [
            {**chance, "model": "pretrain", "figure": "acc", "value": 0.26, "low": 0.2, "high": 0.33},
            {**chance, "model": f"finetune {EVIL}", "figure": "acc", "value": 0.41, "low": 0.34, "high": 0.48},
            {**chance, "model": "pretrain", "figure": "acc/physics", "value": 0.3, "low": 0.1, "high": 0.6},
            {
                **chance,
                "model": "pretrain",
                "figure": "bits_per_byte",
                "value": 1.9,
                "low": 1.8,
                "high": 2.0,
                "chance": None,
            },
            {**chance, "task": "piqa", "model": "pretrain", "figure": "acc", "value": 0.6, "low": 0.5, "high": 0.7}
            | {"chance": 0.5},
            {"model": "pretrain", "task": "no value"},
        ]
        write_json(self.run.stage("evaluate") / "results.json", rows)
        self.finish("evaluate", ["pretrain", "finetune"])
        return self

    def samples(self) -> Written:
        rows = [
            {
                "kind": "continuation",
                "prompt": "The history of",
                "text": f" {EVIL}",
                "tokens": 12,
                "tokens_per_second": 9.0,
            },
            {
                "kind": "answer",
                "prompt": "What is an acid?",
                "text": "It is sour.",
                "tokens": 5,
                "tokens_per_second": 9.0,
            },
        ]
        write_json(self.run.stage("samples") / "samples.json", rows)
        self.finish("samples", ["pretrain", "finetune"])
        return self

    def everything(self) -> Written:
        self.extract().dedup().tokens().pretrain().finetune()
        return self.align().evaluate().samples()


def loss_at(step: int) -> float:
    return 2.0 + 4.0 * math.exp(-step / 15)


@pytest.fixture
def written(tmp_path: Path) -> Written:
    return Written(tmp_path)


@pytest.fixture
def facts_of() -> Callable[[Written], Any]:
    """The facts of a run as the verb reads them."""
    from crawl2chat.pipelines.report_corpus import RunCorpus
    from crawl2chat.report.facts import read_facts

    return lambda written: read_facts(written.run, RunCorpus())
