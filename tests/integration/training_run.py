"""A small run to train in tests: its tokenizer and shards are made of a play, its folder is as the stages leave it."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
from crawl2chat.core.files import digest
from crawl2chat.core.manifest import Manifest, file_entry, write_manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.stage import StageContext
from crawl2chat.tokenize.bpe import SPECIAL_TOKENS, Tokenizer
from crawl2chat.tokenize.shards import write_shard
from crawl2chat.train.job import Job
from crawl2chat.train.pretrain_stage import PRETRAIN, pretrain_job
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers

MODEL = {"layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "feed_forward": 160, "context": 64}


def play_run(storage: Path, shared_data: Path, train: dict[str, Any], **sections: Any) -> Run:
    """The run `killed` below `storage`, ready for its stage `pretrain`; its recipe is written down."""
    text = gzip.decompress((shared_data / "text" / "tinyshakespeare.txt.gz").read_bytes()).decode()[:300_000]
    recipe = Recipe.model_validate(
        {
            "name": "killed",
            "storage": str(storage),
            "sources": [{"name": "play", "kind": "jsonl", "paths": ["unused.jsonl"]}],
            "model": MODEL,
            "train": train,
            **sections,
        }
    )
    run = Run(recipe)
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    library.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=list(SPECIAL_TOKENS), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    library.train_from_iterator([text[:100_000]], trainer)
    path = run.stage("tokenizer") / "tokenizer.json"
    path.parent.mkdir(parents=True)
    library.save(str(path))
    tokenizer = Tokenizer.load(path)
    _manifest("tokenizer", path.parent, [path], {"digest": tokenizer.digest, "vocab_size": tokenizer.vocab_size})
    pieces = [text[start : start + 3000] for start in range(0, len(text), 3000)]
    paths = []
    for split, texts in (("train", pieces[5:]), ("validation", pieces[:5])):
        ids = [[*tokenizer.encode(piece), tokenizer.end_of_text] for piece in texts]
        paths.append(run.stage("shards") / split / "play-00000.arrow")
        names, counts = [f"{split}-{number}" for number in range(len(ids))], np.array([len(one) for one in ids])
        write_shard(paths[-1], names, np.concatenate(ids).astype(np.uint16), counts, tokenizer, split)
    _manifest("shards", run.stage("shards"), paths, {"tokenizer_digest": tokenizer.digest})
    run.write_recipe()
    return run


def job_of(run: Run) -> Job:
    """What the stage `pretrain` would have its workers do."""
    inputs = {name: run.need(name) for name in PRETRAIN.inputs}
    tokenizer = Tokenizer.load(run.stage("tokenizer") / "tokenizer.json")
    return pretrain_job(StageContext(run, run.stage("pretrain"), inputs, Progress("test")), tokenizer)


def _manifest(stage: str, folder: Path, paths: list[Path], facts: dict) -> None:
    files = [file_entry(folder, path, 1) for path in paths]
    write_manifest(
        folder,
        Manifest(
            stage=stage, version=1, config={}, fingerprint=digest(stage), inputs={}, files=files, counters={},
            facts=facts, code_version="test", seconds=0.0,
        ),
    )  # fmt: skip
