"""A small model with weights that matter, and a tokenizer that merges."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.train import train_tokenizer

TEXT = "Question: What is an acid? Answer: An acid is sour and short. The history of it is long, the answer is short."


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tensors of a few kilobytes: more threads only wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return Tokenizer(train_tokenizer([[TEXT] * 4], 330))


def random_weights(config: ModelConfig) -> Transformer:
    """Weights so large that each token matters."""
    model = Transformer(config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(parameter.dim() == 1, 0.3, generator=generator))
    return model


@pytest.fixture(scope="session", params=["qwen3", "gpt2"])
def model(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Transformer:
    """Rotary and learned positions."""
    config = ModelConfig(
        tokenizer.vocab_size,
        layers=2,
        width=32,
        heads=4,
        kv_heads=2,
        feed_forward=40,
        context=256,
        positions="learned" if request.param == "gpt2" else "rotary",
    )
    return random_weights(config)


def forwards(model: Transformer, tokenizer: Tokenizer, context: str, continuation: str) -> tuple[float, bool]:
    """One token after the other: log-softmax of the last logits of a forward over all that is before it."""
    kept = context.rstrip()
    whole, before = tokenizer.encode(context + continuation), tokenizer.encode(kept)
    if not before:
        whole, before = [tokenizer.end_of_text, *whole], [tokenizer.end_of_text]
    first = max(0, len(whole) - 1 - model.config.context)
    total, greedy = 0.0, True
    for place in range(len(before), len(whole)):
        with torch.no_grad():
            logits_V = model(torch.tensor([whole[first:place]]))[0, -1].double()
        total += float(logits_V[whole[place]] - logits_V.logsumexp(0))
        greedy &= int(logits_V.argmax()) == whole[place]
    return total, greedy


@pytest.fixture
def by_hand() -> Callable[[Transformer, Tokenizer, str, str], tuple[float, bool]]:
    """by_hand(model, tokenizer, context, continuation): log-likelihood in nats, whether it is greedy."""
    return forwards
