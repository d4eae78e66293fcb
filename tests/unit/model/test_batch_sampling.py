"""Drawing for many texts at once: the right distribution for each row, whatever stands in the others."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from crawl2chat.core.errors import InputError
from crawl2chat.model.batch_sampling import CANDIDATES, BatchSampler, Sampling
from crawl2chat.model.generation import restrict

P = [0.1, 0.4, 0.2, 0.25, 0.05]
LOGITS = torch.tensor(P).log()


def shares(sampling: Sampling, n: int = 6_000) -> list[float]:
    sampler = BatchSampler([sampling] * n)
    uniforms = torch.rand(n, generator=torch.Generator().manual_seed(7), dtype=torch.float64).tolist()
    counts = Counter(sampler.draw(LOGITS.expand(n, -1), uniforms))
    return [counts[token] / n for token in range(len(P))]


@pytest.mark.parametrize(
    ("temperature", "top_k", "top_p", "wanted"),
    [
        (1.0, None, None, P),
        (0.5, None, None, [0.01, 0.16, 0.04, 0.0625, 0.0025]),  # squares
        (1.0, 2, None, [0, 0.4, 0, 0.25, 0]),
        (1.0, None, 0.64, [0, 0.4, 0, 0.25, 0]),
        (1.0, None, 0.7, [0, 0.4, 0.2, 0.25, 0]),
        (1.0, None, 0.1, [0, 1, 0, 0, 0]),
        (1.0, 3, 0.5, [0, 0.4, 0, 0.25, 0]),  # p counts what k left: 0.4/0.85 < 0.5
        (1.0, 99, 1.0, P),
        (0.0, None, None, [0, 1, 0, 0, 0]),
    ],
)
def test_draws_follow_the_distribution(
    temperature: float, top_k: int | None, top_p: float | None, wanted: list[float]
) -> None:
    for got, expected in zip(shares(Sampling(temperature, top_k, top_p)), wanted, strict=True):
        assert got == pytest.approx(expected / sum(wanted), abs=0.025)
        assert (got == 0) == (expected == 0)


def test_a_row_does_not_depend_on_the_others() -> None:
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(6, 1000, generator=generator)
    rows = [
        Sampling(0.0), Sampling(1.0), Sampling(1.3, top_p=0.9), Sampling(0.7, top_k=5),
        Sampling(5.0, top_p=0.99), Sampling(2.0, top_k=400, top_p=0.8),
    ]  # fmt: skip
    uniforms = torch.rand(6, generator=generator, dtype=torch.float64).tolist()
    alone = [BatchSampler([row]).draw(logits[n : n + 1], [uniforms[n]])[0] for n, row in enumerate(rows)]
    assert BatchSampler(rows).draw(logits, uniforms) == alone
    turned = BatchSampler(rows[::-1]).draw(logits.flip(0), uniforms[::-1])
    assert turned[::-1] == alone
    assert alone[0] == int(logits[0].argmax())


def test_a_nucleus_larger_than_the_candidates_is_found() -> None:
    """Nearly flat: 0.9 of it takes 1,800 of 2,000 tokens; each draw is one that model/generation.py would allow."""
    logits = torch.randn(2000, generator=torch.Generator().manual_seed(1)) * 0.01
    allowed = restrict(logits, None, 0.9).isfinite()
    assert allowed.sum() > 6 * CANDIDATES
    n = 2_000
    uniforms = torch.rand(n, generator=torch.Generator().manual_seed(5), dtype=torch.float64).tolist()
    drawn = BatchSampler([Sampling(1.0, top_p=0.9)] * n).draw(logits.expand(n, -1), uniforms)
    assert all(allowed[token] for token in drawn)
    assert len(set(drawn)) > 1_000


def test_no_token_of_probability_zero_is_drawn() -> None:
    logits = torch.full((2, 10), -torch.inf)
    logits[:, 4] = 1.0
    for uniform in (0.0, 0.5, 1 - 2**-53):
        assert BatchSampler([Sampling(1.0), Sampling(1.0, top_p=0.5)]).draw(logits, [uniform] * 2) == [4, 4]


def test_uniforms_follow_the_seed_and_not_the_length() -> None:
    assert Sampling(seed=5).uniforms(10) == Sampling(seed=5).uniforms(20)[:10]
    assert Sampling(seed=5).uniforms(3) != Sampling(seed=6).uniforms(3)
    assert Sampling(seed=-(2**63)).uniforms(2) != Sampling(seed=2**63 - 1).uniforms(2)
    assert all(0 <= one < 1 for one in Sampling().uniforms(1000))


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.1}):
        with pytest.raises(InputError, match=next(iter(wrong))):
            Sampling(**wrong)
