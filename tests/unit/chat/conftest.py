"""A run whose two small models have learned one text and one answer by heart, so that tests know what they will say."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from crawl2chat.core.files import write_text
from crawl2chat.core.manifest import Manifest, write_manifest
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_template import encode_chat
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.train.checkpoints import Meta
from crawl2chat.train.saving import save
from crawl2chat.train.world import World

TEXT = "The history of cafés in 漢字 is short. 🙂 Nobody wrote it."
QUESTION = "What is an acid?"
ANSWER = "An acid is sour; “très” sour, 漢字 and 🙂."


@pytest.fixture(scope="session")
def one_thread() -> Iterator[None]:
    """Tensors of a few kilobytes: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def trained(one_thread: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run. Use `run`, which is a copy."""
    recipe = Recipe.model_validate(
        {
            "name": "small",
            "storage": str(tmp_path_factory.mktemp("runs")),
            "sources": [{"name": "wiki", "kind": "jsonl", "paths": ["x.jsonl"]}],
            "model": {"layers": 1, "width": 32, "heads": 2, "kv_heads": 1, "feed_forward": 64, "context": 128},
            "instructions": {},
            "sampling": {
                "prompts": ["The history of", "The"],
                "questions": [QUESTION],
                "max_tokens": 60,
                "temperature": 0,
            },
        }
    )
    run = Run(recipe)
    write_text(run.folder / "recipe.yaml", recipe.to_yaml())
    data = train_tokenizer([["The history of it is short. What is an acid? An acid is sour and short."] * 4], 300)
    tokenizer = Tokenizer(data)
    write_text(run.stage("tokenizer") / "tokenizer.json", data.decode())
    finish(run, "tokenizer", {"digest": tokenizer.digest})
    model = Transformer(ModelConfig.from_settings(recipe.model, tokenizer.vocab_size))
    model.init_weights(1)
    text = [tokenizer.end_of_text, *tokenizer.encode(TEXT), tokenizer.end_of_text]
    learn(run, "pretrain", model, text, [True] * len(text), tokenizer.digest)
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    learn(run, "finetune", model, *encode_chat(tokenizer, messages), tokenizer.digest)
    return run.folder


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Run:
    return Run.open(shutil.copytree(trained, tmp_path / "small"))


@pytest.fixture
def reopened(run: Run) -> Callable[..., Run]:
    """The same run with --set values."""
    return lambda *overrides: Run.open(run.folder, overrides)


def learn(run: Run, stage: str, model: Transformer, ids: list[int], mask: list[bool], digest: str) -> None:
    """Repeat the ids until the model knows them, and write the checkpoint and manifest that training would write."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    tokens, counts = torch.tensor([ids]), torch.tensor(mask)
    for _ in range(300):
        loss = F.cross_entropy(model(tokens[:, :-1])[0][counts[1:]], tokens[0, 1:][counts[1:]])
        if loss.item() < 0.02:
            break
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert loss.item() < 0.02, "the model has not learned"
    meta = Meta(3, 100, model.config.to_dict(), digest, "data", {}, {})
    (run.stage(stage) / "checkpoints").mkdir(parents=True)
    path = save(run.stage(stage) / "checkpoints", model, optimizer, meta, World(), "a", keep=1)
    finish(run, stage, {"checkpoint": path.relative_to(run.stage(stage)).as_posix(), "tokenizer_digest": digest})


def finish(run: Run, stage: str, facts: dict) -> None:
    manifest = Manifest(
        stage=stage, version=1, config={}, fingerprint="", inputs={}, files=[], counters={}, facts=facts,
        code_version="", seconds=0,
    )  # fmt: skip
    write_manifest(run.stage(stage), manifest)
