"""Searches in tests: a run whose tokenizer and shards are made of a play, as the stages leave them."""

from __future__ import annotations

import gzip
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from crawl2chat.core.files import write_text
from crawl2chat.core.manifest import Manifest, file_entry, write_manifest
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.session import ray_session
from crawl2chat.tokenize.bpe import SPECIAL_TOKENS, Tokenizer
from crawl2chat.tune.tune_stage import TUNE
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers


def search(run: Run) -> Manifest:
    session = partial(ray_session, run.recipe.resources, run.folder / "logs")
    [(planned, manifest)] = bring_up_to_date([TUNE], run, session)
    assert planned.todo
    return manifest


def no_session() -> Any:
    raise AssertionError("Ray is not needed")


def make_run(shared_data: Path, folder: Path, sections: dict[str, Any] | None = None, **settings: object) -> Run:
    """A run whose shards hold the speeches of tinyshakespeare, every tenth of them for validation."""
    recipe = {
        "name": "plays",
        "storage": str(folder),
        "sources": [{"name": "plays", "kind": "jsonl", "paths": ["unused.jsonl"]}],
        "tune": {"rows": ["50k"], "steps": 12, "report_every": 4, "batch": 4, "validation_rows": 16, "extend": 0}
        | settings,
        "resources": {"cpus": 2},
        **(sections or {}),
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run = Run(load_recipe(folder / "recipe.yaml"))
    run.folder.mkdir()
    (folder / "recipe.yaml").rename(run.folder / "recipe.yaml")
    text = gzip.decompress((shared_data / "text" / "tinyshakespeare.txt.gz").read_bytes()).decode()
    speeches = text.split("\n\n")[:3000]
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    library.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=512, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet, show_progress=False
    )
    library.train_from_iterator(speeches, trainer)
    path = run.stage("tokenizer") / "tokenizer.json"
    write_text(path, library.to_str())
    tokenizer = Tokenizer.load(path)
    finish(run, "tokenizer", [path], {"vocab_size": tokenizer.vocab_size})
    tokens = [[*ids, tokenizer.end_of_text] for ids in tokenizer.encode_batch(speeches)]
    names = [f"speech-{number}" for number in range(len(tokens))]
    shards = []
    for split, chosen in (("validation", slice(0, None, 10)), ("train", slice(1, None, 2))):
        shards.append(run.stage("shards") / split / "plays-00000.arrow")
        shards[-1].parent.mkdir(parents=True)
        write_shard(shards[-1], names[chosen], tokens[chosen])
    finish(run, "shards", shards, {"tokenizer_digest": tokenizer.digest})
    return run


def write_shard(path: Path, names: list[str], tokens: list[list[int]]) -> None:
    batch = pa.record_batch({"doc_id": pa.array(names), "tokens": pa.array(tokens, pa.large_list(pa.uint16()))})
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)


def finish(run: Run, stage: str, paths: list[Path], facts: dict[str, Any]) -> None:
    folder = run.stage(stage)
    files = [file_entry(folder, path, 1) for path in paths]
    values = {
        "version": 1,
        "config": {},
        "fingerprint": "",
        "inputs": {},
        "counters": {},
        "code_version": "",
        "seconds": 0,
    }
    write_manifest(folder, Manifest.model_validate(values | {"stage": stage, "files": files, "facts": facts}))
