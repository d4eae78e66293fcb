from __future__ import annotations

from typing import Any, Literal

import pytest
from crawl2chat.core.settings_optimizer import Optimizer
from crawl2chat.train.schedule import learning_rates, stable_until
from pydantic import ValidationError

PEAKED: dict[str, Any] = {"learning_rate": 2.0, "warmup_steps": 10, "min_lr_ratio": 0.1}


@pytest.mark.parametrize(("schedule", "quarter"), [("cosine", 1.7364), ("linear", 1.55)])
def test_climbs_to_the_peak_then_falls_to_the_floor(schedule: Literal["cosine", "linear"], quarter: float) -> None:
    rate = learning_rates(Optimizer(**PEAKED, schedule=schedule), 110)
    assert rate(1) == pytest.approx(0.2) and rate(5) == pytest.approx(1.0)
    assert rate(10) == 2.0 and rate(35) == pytest.approx(quarter, abs=1e-4)
    assert rate(60) == pytest.approx(1.1) and rate(110) == pytest.approx(0.2)
    rates = [rate(step) for step in range(10, 111)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(
    ("shape", "quarter", "half"),
    [("linear", 1.55, 1.1), ("sqrt", 1.1, 0.2 + 1.8 * (1 - 0.5**0.5)), ("exponential", 2 * 0.1**0.25, 2 * 0.1**0.5)],
)
def test_wsd_holds_the_peak_and_then_decays(shape: Any, quarter: float, half: float) -> None:
    settings = Optimizer(**PEAKED, schedule="wsd", decay_share=0.4, decay_shape=shape)
    rate = learning_rates(settings, 100)
    assert stable_until(settings, 100) == 60
    assert rate(5) == pytest.approx(1.0) and {rate(step) for step in range(10, 61)} == {2.0}
    assert rate(70) == pytest.approx(quarter) and rate(80) == pytest.approx(half) and rate(100) == pytest.approx(0.2)
    rates = [rate(step) for step in range(60, 101)]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == 41


def test_a_branch_decays_from_its_checkpoint_on_and_is_the_same_before() -> None:
    settings = Optimizer(**PEAKED, schedule="wsd")
    branch, whole = learning_rates(settings, 50, decay_from=30), learning_rates(settings, 200)
    assert [branch(step) for step in range(1, 31)] == [whole(step) for step in range(1, 31)]
    assert branch(40) == pytest.approx(1.1) and branch(50) == pytest.approx(0.2) and whole(50) == 2.0


def test_without_warmup_the_first_step_is_near_the_peak() -> None:
    rate = learning_rates(Optimizer(learning_rate=1.0, warmup_steps=0, min_lr_ratio=0.0), 100)
    assert 0.99 < rate(1) < 1.0 and rate(100) == pytest.approx(0.0)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_a_warmup_longer_than_the_run_ends_in_mid_climb(schedule: Any) -> None:
    rate = learning_rates(Optimizer(learning_rate=1.0, warmup_steps=100, schedule=schedule), 10)
    assert rate(10) == pytest.approx(0.1)


@pytest.mark.parametrize("schedule", ["cosine", "linear", "wsd"])
def test_a_floor_of_one_is_a_constant_rate(schedule: Any) -> None:
    rate = learning_rates(Optimizer(learning_rate=1.0, warmup_steps=0, min_lr_ratio=1.0, schedule=schedule), 10)
    assert {rate(step) for step in range(1, 11)} == {1.0}


def test_settings_that_do_not_fit_name_the_fix() -> None:
    with pytest.raises(ValidationError, match="decay_share is given, but the schedule is cosine; set optimizer"):
        Optimizer(decay_share=0.5)
    with pytest.raises(ValidationError, match="min_lr_ratio 0 is never reached by halving"):
        Optimizer(schedule="wsd", decay_shape="exponential", min_lr_ratio=0.0)
