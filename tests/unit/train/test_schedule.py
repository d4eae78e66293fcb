from __future__ import annotations

import pytest
from crawl2chat.core.settings_training import Optimizer
from crawl2chat.train.schedule import warmup_cosine


def test_climbs_to_the_peak_then_falls_to_the_floor() -> None:
    rate = warmup_cosine(Optimizer(learning_rate=2.0, warmup_steps=10, min_lr_ratio=0.1), 110)
    assert rate(1) == pytest.approx(0.2) and rate(5) == pytest.approx(1.0)
    assert rate(10) == 2.0 and rate(60) == pytest.approx(1.1) and rate(110) == pytest.approx(0.2)
    rates = [rate(step) for step in range(10, 111)]
    assert rates == sorted(rates, reverse=True)


def test_without_warmup_the_first_step_is_near_the_peak() -> None:
    rate = warmup_cosine(Optimizer(learning_rate=1.0, warmup_steps=0, min_lr_ratio=0.0), 100)
    assert 0.99 < rate(1) < 1.0 and rate(100) == pytest.approx(0.0)


def test_a_warmup_longer_than_the_run_ends_in_mid_climb() -> None:
    rate = warmup_cosine(Optimizer(learning_rate=1.0, warmup_steps=100), 10)
    assert rate(10) == pytest.approx(0.1)
