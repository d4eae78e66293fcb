from __future__ import annotations

import gzip
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.train.baselines import gzip_bits_per_byte, token_counts, unigram_bits_per_byte
from crawl2chat.train.loader import IGNORED, TokenStream
from crawl2chat.train.validation import ValidationTokens, validate, validation_by_source
from crawl2chat.train.world import World

from .conftest import write


@pytest.fixture
def token_bytes() -> np.ndarray:
    """End-of-text has no bytes, token t has t % 5 + 1."""
    sizes = np.arange(97, dtype=np.int32) % 5 + 1
    sizes[0] = 0
    return sizes


def test_every_token_is_a_target_exactly_once_in_order(validation: list[Path]) -> None:
    data = ValidationTokens(validation, 16, 0)
    stream = TokenStream(validation).tokens(0, len(TokenStream(validation)))
    assert len(stream) % 16, "the last row must be a short one here"
    inputs, targets = data.batch(np.arange(len(data)))
    counted = targets != IGNORED
    assert targets[counted].tolist() == stream.tolist()
    assert inputs[counted].tolist() == [0, *stream[:-1].tolist()]
    assert data.target_count(np.arange(len(data))) == len(stream)


@pytest.mark.parametrize("rows_a_forward", [1, 3, 1000])
def test_loss_and_bits_per_byte_against_a_plain_sum(
    small: ModelConfig, validation: list[Path], token_bytes: np.ndarray, rows_a_forward: int
) -> None:
    model = Transformer(small)
    model.init_weights(3)
    data = ValidationTokens(validation, 16, 0)
    nats = tokens = size = 0.0
    for row in range(len(data)):
        inputs, targets = data.batch(np.array([row]))
        log_p = model(torch.from_numpy(inputs)).log_softmax(-1)[0]
        for place, target in enumerate(targets[0].tolist()):
            if target != IGNORED:
                nats, tokens, size = nats - log_p[place, target].item(), tokens + 1, size + int(token_bytes[target])
    found = validate(model, data, token_bytes, rows_a_forward, "fp32", World())
    assert found["validation_loss"] == pytest.approx(nats / tokens, rel=1e-5)
    assert found["bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    assert model.training


def test_unigram_baseline_against_a_plain_sum(
    shards: list[Path], validation: list[Path], token_bytes: np.ndarray
) -> None:
    train = TokenStream(shards).tokens(0, len(TokenStream(shards))).tolist()
    held_out = TokenStream(validation).tokens(0, len(TokenStream(validation))).tolist()
    bits = -sum(math.log2((train.count(token) + 1) / (len(train) + 97)) for token in held_out)
    expected = bits / sum(int(token_bytes[token]) for token in held_out)
    counts = sum(token_counts([path], 97) for path in shards), token_counts(validation, 97)
    assert unigram_bits_per_byte(*counts, token_bytes) == pytest.approx(expected)


def test_gzip_baseline_is_what_gzip_writes(validation: list[Path]) -> None:
    def decode_bytes(ids: list[int]) -> bytes:
        return b"".join(b"" if one == 0 else f"word{one} ".encode() for one in ids)

    text = decode_bytes(TokenStream(validation).tokens(0, len(TokenStream(validation))).tolist())
    expected = 8 * len(gzip.compress(text, 9)) / len(text)
    assert gzip_bits_per_byte(validation, decode_bytes) == pytest.approx(expected)  # type: ignore[arg-type]


def test_sources_are_measured_alone_and_together(
    small: ModelConfig, tmp_path: Path, documents: list[list[list[int]]], token_bytes: np.ndarray
) -> None:
    paths = [write(tmp_path / f"{name}.arrow", documents[n][:9]) for n, name in ((0, "web-00000"), (2, "wiki-00000"))]
    write(tmp_path / "empty-00000.arrow", [[]])
    model = Transformer(small)
    model.init_weights(3)
    data = validation_by_source([*paths, tmp_path / "empty-00000.arrow"], 16, 0)
    assert list(data) == ["web", "wiki"]
    found = validate(model, data, token_bytes, 3, "fp32", World())
    sizes = {}
    for name, part in data.items():
        alone = validate(model, part, token_bytes, 3, "fp32", World())
        assert found[f"bits_per_byte/{name}"] == pytest.approx(alone["bits_per_byte"], rel=1e-6)
        sizes[name] = len(part.stream), alone["validation_loss"]
    together = sum(tokens * loss for tokens, loss in sizes.values()) / sum(tokens for tokens, _ in sizes.values())
    assert found["validation_loss"] == pytest.approx(together, rel=1e-6)
