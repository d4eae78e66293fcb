"""Tasks that were looked at in training, as the page shows them before any evaluation: intervals and chance."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from crawl2chat.report.looks import chances_on_the_way, looks
from crawl2chat.report.page import page
from crawl2chat.report.training import Training

from .conftest import Written

Facts = Callable[[Written], Any]


def test_the_first_and_the_newest_look_have_intervals_and_chance(written: Written, facts_of: Facts) -> None:
    [training] = facts_of(written.extract().dedup().tokens().pretrain(done=40, whole=False)).trainings
    found = looks(training, {})
    assert [(one.task, one.figure, one.model, one.value, one.items, one.chance) for one in found] == [
        ("piqa", "acc", "step 20", 0.6, 200, 0.5),
        ("piqa", "acc", "step 40", 0.7, 200, 0.5),
        ("piqa", "acc_norm", "step 20", 0.55, 200, 0.5),
        ("piqa", "acc_norm", "step 40", 0.6, 200, 0.5),
        ("lambada", "perplexity", "step 20", 90.0, 0, None),
        ("lambada", "perplexity", "step 40", 90.0, 0, None),
    ]
    assert (found[0].low, found[0].high) == pytest.approx((0.5308, 0.6654), abs=1e-4), "120 of 200 by Wilson"
    assert (found[2].low, found[2].high) == pytest.approx((0.4808, 0.6174), abs=1e-4)
    assert [one.verdict for one in found] == ["above chance", "above chance", "chance", "above chance", "", ""]
    assert chances_on_the_way(training) == {"piqa": 0.5}


def test_the_page_of_a_run_under_way_has_them(written: Written, facts_of: Facts) -> None:
    shown = page(facts_of(written.extract().dedup().tokens().pretrain(done=40, whole=False)))
    [table] = re.findall(r"<h3>Tasks on the way</h3>.*?</table>", shown, re.DOTALL)
    words = re.sub(r"\s+", " ", re.sub(r"<svg.*?</svg>|<[^>]+>", " ", table, flags=re.DOTALL))
    assert "piqa acc step 20 200 60.0 % 53.1 – 66.5 % 50.0 % above chance" in words
    assert "lambada perplexity step 40 90" in words and "shots" not in words
    assert 'id="evaluation"' not in shown
    [curves] = re.findall(r'<svg[^>]*aria-label="piqa while training".*?</svg>', shown, re.DOTALL)
    assert "0.5 chance" in curves and set(re.findall('data-name="([^"]*)"', curves)) == {"acc", "acc norm"}


def test_what_has_no_interval_gets_none() -> None:
    """Averages over subjects; and figures of versions that said neither how many items nor chance."""
    mmlu = {"acc": 0.3, "acc_macro": 0.31, "bits_per_byte": 1.0, "items": 10, "chance": 0.25}
    checks = [{"step": 0, **{f"eval/mmlu/{name}": value for name, value in mmlu.items()}, "eval/copa/acc": 0.5}]
    found = looks(Training("finetune", "done", 10, [], checks, []), {"copa": 0.5, "mmlu": 0.9})
    assert [(one.figure, one.low is None, one.items, one.chance) for one in found] == [
        ("acc", False, 10, 0.25),
        ("acc_macro", True, 10, 0.25),
        ("acc", True, 0, 0.5),
    ]
    assert all(one.verdict == "" for one in found[1:])
