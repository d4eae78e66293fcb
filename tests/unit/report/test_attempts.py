"""The time of a stage's earlier attempts, by what its training wrote down."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.report.attempts import earlier_seconds
from crawl2chat.report.facts import as_json
from crawl2chat.report.page import page, tiles_of

from .conftest import Written


def began(time: float, step: int = 0) -> dict[str, Any]:
    return {"what": "start", "step": step, "ranks": 2, "time": time}


def saved(time: float, step: int) -> dict[str, Any]:
    return {"what": "checkpoint", "step": step, "time": time}


KILLED = [began(1000), saved(1060, 20), saved(1100, 40), began(5000, 40), saved(5080, 60)]


@pytest.mark.parametrize(
    ("course", "seconds", "earlier"),
    [
        ([], 90, 0),
        ([began(1000), saved(1080, 60)], 90, 0),
        ([began(1000), saved(1040, 20), began(1050, 20), saved(1085, 60)], 90, 0),  # workers alone began again
        (KILLED, 90, 100),
        ([began(500), began(700), saved(720, 20), *KILLED], 90, 120),  # the first of four left no checkpoint
        ([began(1000), saved(2000, 60)], 5, 995),  # killed behind its last step: the rest took five seconds
        ([saved(1, 20), began(float("nan")), {"what": "start", "step": 0}, *KILLED], 90, 100),
    ],
)
def test_earlier_attempts_count_from_their_beginning_to_their_last_checkpoint(
    course: list[dict[str, Any]], seconds: float, earlier: float
) -> None:
    assert earlier_seconds(course, seconds) == pytest.approx(earlier)


def test_the_page_sums_the_attempts(tmp_path: Path, facts_of: Callable[[Written], Any]) -> None:
    """In the list of stages, in the training's own numbers, in all, in processor time and in costs."""
    written = Written(tmp_path, resources={"price_per_cpu_hour": 36.0})
    written.pretrain(whole=False).finish("pretrain", seconds=90)
    course = written.run.stage("pretrain") / "course.jsonl"
    course.write_text("".join(json.dumps(line) + "\n" for line in KILLED))
    facts = facts_of(written)
    assert written.run.need("pretrain").seconds == 90
    assert facts.making.seconds == 190 and facts.making.training_seconds == {"CPU": 380.0}
    assert facts.making.cost == pytest.approx(3.8)
    assert dict(tiles_of(facts.trainings[0]))["time"] == "3 min 10 s"
    shown = page(facts)
    assert 'pretrain <span class="soft">3 min 10 s</span>' in shown and "1 min 30 s" not in shown
    assert as_json(facts)["stages"][0]["seconds"] == 190
    course.write_bytes(b"\xff{" + course.read_bytes())
    assert facts_of(written).stages[0].seconds == 90, "what cannot be read is not guessed"
