"""Small shards with real offsets, and a model that trains in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from crawl2chat.core.settings_optimizer import Optimizer
from crawl2chat.core.settings_tokenizer import Tokenizer as TokenizerSettings
from crawl2chat.core.stage import StageContext
from crawl2chat.model.config import ModelConfig
from crawl2chat.tokenize.bpe import SPECIAL_TOKENS, Tokenizer
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.train.job import Job
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.loop import Plan
from crawl2chat.train.validation import ValidationTokens
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers

from .tuning import context_maker

VOCABULARY = 97


def write(path: Path, documents: list[list[int]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ids = [f"{path.stem}/{number}" for number in range(len(documents))]
    table = pa.table({"doc_id": ids, "tokens": pa.array(documents, pa.large_list(pa.uint16()))}).combine_chunks()
    with pa.ipc.new_file(str(path), table.schema) as writer:
        for batch in table.to_batches():
            writer.write_batch(batch)
    return path


@pytest.fixture
def documents() -> list[list[list[int]]]:
    """Three files of documents that end with token 0 and count upwards: something to learn."""
    rng = np.random.default_rng(0)

    def document() -> list[int]:
        length, start = int(rng.integers(1, 90)), int(rng.integers(1, VOCABULARY))
        return [*((start + 3 * np.arange(length)) % (VOCABULARY - 1) + 1).tolist(), 0]

    return [[document() for _ in range(number)] for number in (40, 1, 60)]


@pytest.fixture
def shards(tmp_path: Path, documents: list[list[list[int]]]) -> list[Path]:
    return [write(tmp_path / "train" / f"s-{number:05d}.arrow", file) for number, file in enumerate(documents)]


@pytest.fixture
def validation(tmp_path: Path, documents: list[list[list[int]]]) -> list[Path]:
    return [write(tmp_path / "validation" / "s-00000.arrow", documents[0][:7])]


@pytest.fixture
def small() -> ModelConfig:
    return ModelConfig(VOCABULARY, layers=2, width=16, heads=2, kv_heads=1, feed_forward=32, context=16)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Small models gain nothing from threads, and lose much when the machine is busy."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def job(tmp_path: Path, shards: list[Path], validation: list[Path], small: ModelConfig) -> Job:
    """A short run with two checkpoints and validation; a token stands for two bytes, end-of-text for none."""
    token_bytes = np.full(VOCABULARY, 2, dtype=np.int32)
    token_bytes[0] = 0
    return Job(
        folder=tmp_path / "run",
        model=small,
        plan=Plan(steps=20, batch=8, seed=3, log_every=4, validate_every=10, checkpoint_every=8),
        optimizer=Optimizer(learning_rate=1e-2, warmup_steps=3),
        keep=2,
        open_data=partial(TokenDataset, shards, small.context),
        open_validation=partial(ValidationTokens, validation, small.context, 0),
        token_bytes=token_bytes,
        tokenizer_digest="t" * 64,
        data_digest="d" * 64,
        recipe={"seed": 3},
    )


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    """A tokenizer of bytes."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    library.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    library.train_from_iterator(
        [], trainers.BpeTrainer(vocab_size=260, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet)
    )
    return Tokenizer(library.to_str().encode())


@pytest.fixture
def context_of(tmp_path: Path) -> Callable[..., StageContext]:
    """Makes the context of a stage: see tuning.py."""
    return context_maker(tmp_path)


@pytest.fixture(scope="session")
def chatting() -> Tokenizer:
    """A tokenizer of 330 tokens, with ChatML's among them."""
    texts = ["What is it? It is a thing. What was the sentence? Rewrite the following: "] * 4
    settings = TokenizerSettings(special_tokens=["<|im_start|>", "<|im_end|>"], vocab_size=330)
    return Tokenizer(train_tokenizer([texts], 330, settings))


@pytest.fixture
def instruct(shared_data: Path) -> Callable[[str], Path]:
    """A file of real instruction data by its name."""

    def find(name: str) -> Path:
        file = shared_data / "instruct" / name
        if not file.exists():
            pytest.skip(f"{file} is absent")
        return file

    return find
