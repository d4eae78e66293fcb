"""Asynchronous successive halving (Li et al. 2020) with one competition a row of the scaling table.

Ray's ASHA compares all trials with each other. Rows differ in what they can reach, so that the best row would end the
trials of the others, whatever their learning rates. Here a trial competes with those of its own group.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from .spent import reports


def group_of(config: Mapping[str, Any]) -> str:
    """The competition that a trial is in, from its configuration: its row's, with transfer or without."""
    trial = config["trial"]
    return f"{trial['row']}, {'standard' if trial['model'].get('transfer') is None else 'transfer'}"


class AshaPerRow(FIFOScheduler):
    """Trials start in the order given; each group's own ASHA decides which of them go on at a rung."""

    def __init__(self, by_group: Mapping[str, ASHAScheduler]) -> None:
        super().__init__()
        self._by_group = dict(by_group)

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        taken = [asha.set_search_properties(metric, mode, **spec) for asha in self._by_group.values()]
        return all(taken)

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """A search that is restored adds its trials anew: what they had reported fills the rungs again."""
        self._of(trial).on_trial_add(tune_controller, trial)
        storage = getattr(trial, "storage", None)
        if storage is not None and storage.trial_dir_name is not None:
            for report in reports(Path(storage.trial_fs_path)):
                self._of(trial).on_trial_result(tune_controller, trial, report)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        return self._of(trial).on_trial_result(tune_controller, trial, result)

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        self._of(trial).on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        self._of(trial).on_trial_remove(tune_controller, trial)

    def debug_string(self) -> str:
        return "\n".join(f"{group}: {asha.debug_string()}" for group, asha in self._by_group.items())

    def _of(self, trial: Trial) -> ASHAScheduler:
        return self._by_group[group_of(trial.config)]
