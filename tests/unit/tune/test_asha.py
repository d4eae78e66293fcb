"""ASHA with a competition for each row, against real schedulers of Ray Tune, without a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from crawl2chat.tune.asha import AshaPerRow
from ray.tune.schedulers import ASHAScheduler, TrialScheduler


@dataclass
class Entry:
    """What a scheduler reads of a trial."""

    trial_id: str
    config: dict[str, Any] = field(default_factory=dict)


def scheduler() -> AshaPerRow:
    one = AshaPerRow(
        {
            f"{row}, standard": ASHAScheduler(time_attr="tokens", grace_period=10, max_t=40, reduction_factor=2)
            for row in ("small", "large")
        }
    )
    assert one.set_search_properties("validation_loss", "min")
    return one


def verdicts(one: AshaPerRow, *losses: tuple[str, float]) -> list[str]:
    found = []
    for number, (row, loss) in enumerate(losses):
        trial: Any = Entry(str(number), {"trial": {"row": row, "model": {"transfer": None}}})
        one.on_trial_add(None, trial)
        found.append(one.on_trial_result(None, trial, {"tokens": 10, "validation_loss": loss}))
    return found


def test_a_small_model_is_not_stopped_for_being_small() -> None:
    go, stop = TrialScheduler.CONTINUE, TrialScheduler.STOP
    assert verdicts(scheduler(), ("large", 3.0), ("small", 5.0), ("large", 3.5), ("small", 4.9)) == [go, go, stop, go]


def test_all_in_one_row_would_stop_it() -> None:
    """The guard's reason: Ray's own ASHA, over both rows together."""
    one: Any = ASHAScheduler(time_attr="tokens", grace_period=10, max_t=40, metric="validation_loss", mode="min")
    entries: list[Any] = [Entry("0"), Entry("1")]
    found = []
    for trial, loss in zip(entries, (3.0, 5.0), strict=True):
        one.on_trial_add(None, trial)
        found.append(one.on_trial_result(None, trial, {"tokens": 10, "validation_loss": loss}))
    assert found == [TrialScheduler.CONTINUE, TrialScheduler.STOP]


@pytest.mark.filterwarnings("ignore:All-NaN slice")
def test_a_diverged_trial_does_not_disturb_the_others() -> None:
    go, stop = TrialScheduler.CONTINUE, TrialScheduler.STOP
    rows = [("small", float("nan")), ("small", 5.0), ("small", 4.0), ("small", 6.0)]
    assert verdicts(scheduler(), *rows) == [go, go, go, stop]
