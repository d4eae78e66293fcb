"""Generation: the cache changes nothing but the time, the sampler draws from the distribution it is asked for."""

from __future__ import annotations

import logging
from collections import Counter

import pytest
import torch
from crawl2chat.core.errors import InputError, StageError
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.generation import generate, restrict, sample
from crawl2chat.model.transformer import Transformer

CONFIG = ModelConfig(vocab_size=61, layers=3, width=32, heads=4, kv_heads=2, feed_forward=40, context=32)
LOGITS = torch.tensor([0.1, 0.4, 0.2, 0.25, 0.05]).log()


@pytest.fixture(scope="module")
def model() -> Transformer:
    """Random weights, large enough that the text does not fall into one repeated token."""
    model = Transformer(CONFIG)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(parameter.dim() == 1, 0.4, generator=generator))
    return model


@pytest.mark.parametrize("prompt", [[5], [1, 2, 3, 4, 5, 6, 7], list(range(30))])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_cache_changes_nothing(model: Transformer, prompt: list[int], temperature: float) -> None:
    settings = {"max_tokens": 40, "temperature": temperature, "seed": 3}
    cached = list(generate(model, prompt, **settings))
    assert cached == list(generate(model, prompt, **settings, use_cache=False))
    assert len(cached) == min(40, CONFIG.context - len(prompt) + 1)  # stops where the context is full
    assert len(set(cached)) > 1


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_cache_changes_nothing_in_any_family(family_config, random_model, temperature: float) -> None:
    """To the end of the context, where learned positions end too."""
    model = random_model(family_config)
    settings = {"max_tokens": 99, "temperature": temperature, "seed": 3}
    cached = list(generate(model, [5, 9, 2], **settings))
    assert cached == list(generate(model, [5, 9, 2], **settings, use_cache=False))
    assert len(cached) == family_config.context - 3 + 1
    assert temperature == 0 or len(set(cached)) > 5


def test_greedy_is_the_argmax_of_each_step(model: Transformer) -> None:
    ids = [7, 8, 9]
    for token in generate(model, ids.copy(), max_tokens=12, temperature=0):
        with torch.no_grad():
            assert token == int(model(torch.tensor([ids]))[0, -1].argmax())
        ids.append(token)


def test_seed_decides(model: Transformer) -> None:
    draws = [tuple(generate(model, [5], max_tokens=20, temperature=1.5, seed=seed)) for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]


def test_stop_ids_end_the_text_and_are_not_given(model: Transformer) -> None:
    free = list(generate(model, [5], max_tokens=20, temperature=0))
    stop = free[4]
    assert list(generate(model, [5], max_tokens=20, temperature=0, stop_ids={stop})) == free[: free.index(stop)]


def test_tokens_come_one_by_one(model: Transformer) -> None:
    calls: list[int] = []
    handle = model.register_forward_hook(lambda *_: calls.append(1))
    stream = generate(model, [5], max_tokens=20, temperature=0)
    next(stream), next(stream)
    handle.remove()
    assert len(calls) == 2


def test_long_prompt_keeps_its_last_part(model: Transformer, caplog: pytest.LogCaptureFixture) -> None:
    prompt = [i % 50 for i in range(100)]
    logging.getLogger("crawl2chat").propagate = True
    with caplog.at_level("WARNING", logger="crawl2chat"):
        long = list(generate(model, prompt, max_tokens=5, temperature=0))
    assert "prompt has 100 tokens, the context 32: its last 16 are kept" in caplog.text
    assert long == list(generate(model, prompt[-16:], max_tokens=5, temperature=0))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"prompt_ids": []}, "prompt is empty"),
        ({"max_tokens": 0}, "max_tokens is 0"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": float("nan")}, "temperature is nan"),
        ({"top_k": 0}, "top_k is 0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"top_p": 1.5}, "top_p is 1.5"),
    ],
)
def test_wrong_settings_are_refused_at_once(model: Transformer, changes: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):  # at the call, not at the first token
        generate(model, **{"prompt_ids": [1], "max_tokens": 4, **changes})


def test_broken_logits_are_an_error() -> None:
    for bad in (float("nan"), float("inf")):
        logits = torch.tensor([0.0, bad, 1.0])
        with pytest.raises(StageError, match="not finite"):
            sample(logits, 1.0, None, None, torch.Generator())


# ── the sampler against its distribution ─────────────────────────────────────────────────────────────────────────────


def drawn(temperature: float, top_k: int | None, top_p: float | None, n: int = 6_000) -> list[float]:
    generator = torch.Generator().manual_seed(11)
    counts = Counter(sample(LOGITS, temperature, top_k, top_p, generator) for _ in range(n))
    return [counts[token] / n for token in range(len(LOGITS))]


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "wanted"),
    [
        (1.0, None, None, [0.1, 0.4, 0.2, 0.25, 0.05]),
        (0.5, None, None, [0.01, 0.16, 0.04, 0.0625, 0.0025]),  # squares
        (1.0, 2, None, [0, 0.4, 0, 0.25, 0]),
        (1.0, None, 0.65, [0, 0.4, 0, 0.25, 0]),  # 0.4 + 0.25 reach it exactly (see the next test for rounding)
        (1.0, None, 0.7, [0, 0.4, 0.2, 0.25, 0]),
        (1.0, None, 0.1, [0, 1, 0, 0, 0]),
        (1.0, 3, 0.5, [0, 0.4, 0, 0.25, 0]),  # p counts what k left: 0.4/0.85 < 0.5
        (1.0, 99, 1.0, [0.1, 0.4, 0.2, 0.25, 0.05]),
        (0.0, None, None, [0, 1, 0, 0, 0]),
    ],
)
def test_draws_follow_the_distribution(
    temperature: float, top_k: int | None, top_p: float | None, wanted: list[float]
) -> None:
    if top_p == 0.65:
        top_p -= 1e-6
    share = [value / sum(wanted) for value in wanted]
    for got, expected in zip(drawn(temperature, top_k, top_p), share, strict=True):
        assert got == pytest.approx(expected, abs=0.025)
        assert (got == 0) == (expected == 0)


def test_top_k_of_equal_logits_keeps_exactly_k() -> None:
    kept = restrict(torch.zeros(10), 3, None).isfinite().nonzero().flatten().tolist()
    assert kept == [0, 1, 2]
    kept = restrict(torch.zeros(10), None, 0.45).isfinite().nonzero().flatten().tolist()
    assert kept == [0, 1, 2, 3, 4]


def test_restrict_leaves_its_input_alone() -> None:
    logits = LOGITS.clone()
    restrict(logits, 2, 0.5)
    assert torch.equal(logits, LOGITS)
