"""What Ray Tune runs for a trial: the trial itself, or a driver of a Ray Train run of several workers.

A trial of one worker is its own process, with one CPU. A larger one holds no CPU itself, else trials would wait for
the CPUs that they hold; its workers get theirs from Ray Train.
"""

from __future__ import annotations

from typing import Any

from ray import tune

from .trial import Trial
from .trial_run import run_trial


def trainable_of(trial: Trial) -> Any:
    """The trainable with its resources."""
    return tune.with_resources(run_trial, {"cpu": 1})
