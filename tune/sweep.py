"""A sweep, phase by phase: the search, grids that end too soon extended, finalists, ASHA checked, the ladder.

Each phase is one run of Ray Tune, or one a row where values are drawn. What an ended phase found is read again when the
sweep is continued, so that the phases after it come out the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..core.log import log
from ..core.recipe import Recipe
from ..core.settings_tune import draws_as_it_goes
from ..model.config import ModelConfig
from .lessons import beyond_edges, drift, grid_factor, rates_for, valleys
from .nested import check_size
from .plan import Trials
from .results import AshaSaving, Curves, Finalist, Result, Sweep
from .rows import row_model
from .search import Found, Search, run_search
from .trial import Trial
from .watching import Allowance, Listener, seconds_used


class SweepRun:
    """Runs the phases in `folder`; afterwards `results`, `curves` and `sweep` hold what was found."""

    def __init__(self, recipe: Recipe, trials: Trials, folder: Path, vocab_size: int, listener: Listener) -> None:
        self.recipe, self.settings, self.trials = recipe, recipe.tune, trials
        self.folder, self.vocab_size, self.listener = folder, vocab_size, listener
        budget = self.settings.budget
        used = sum(seconds_used(path)[0] for path in (folder / "phases").glob("*.busy.jsonl"))
        seconds = None if budget.minutes is None else budget.minutes * 60 - used
        self.allowance = Allowance(seconds, None if budget.tokens is None else float(budget.tokens))
        self.left = budget.trials  # trials
        self.results: list[Result] = []
        self.curves: Curves = {}
        self.sweep = Sweep()

    def run(self) -> None:
        searched = self._search()
        if self.settings.finalists:
            self._finalists(searched)
        if self.settings.asha_check:
            self._check_asha()
        found = [result for result in self.results if result.phase == "search"]
        self.sweep.grid_factor, self.sweep.drift = grid_factor(found), drift(found)
        for (row, transfer), valley in valleys(found).items():
            if valley.edge:
                end = f"the {valley.edge} end of the learning rates tried ({valley.best:g})"
                self._mark(f"{_group(row, transfer)}: the lowest loss is at {end}; try values beyond it")
        if self.settings.ladder:
            self._ladder(found)

    def _search(self) -> list[Trial]:
        settings = self.settings
        trials = self._allowed(self.trials.search())
        if draws_as_it_goes(settings):
            for trial in trials:
                kind = settings.scheduler
                name = trial.name
                self._phase(Search("search", f"-{name}", [trial], kind, settings.reduction_factor, settings.samples))
            return trials
        # hyperband compares all it sees: a run of Ray Tune for each competition
        apart = settings.scheduler in ("hyperband", "median")
        self._run_all("search", "", trials, settings.scheduler, apart)
        for round in range(settings.extend if settings.searcher == "grid" else 0):
            more = self._allowed(beyond_edges(trials, self.results))
            if not more or self.allowance.used_up:
                break
            for trial in more:
                self.sweep.extended.setdefault(_group(trial.row, trial.model.transfer is not None), []).append(
                    trial.optimizer.learning_rate
                )
            log.info("tune: the best of %d grids is at their end: each goes one step on", len(more))
            self._run_all("search", f"-beyond{round + 1}", more, "none", False)
            trials = [*trials, *more]
        return trials

    def _run_all(self, phase: str, part: str, trials: Sequence[Trial], kind: str, apart: bool) -> None:
        settings = self.settings
        groups: dict[str, list[Trial]] = {}
        for trial in trials:
            groups.setdefault(_group(trial.row, trial.model.transfer is not None) if apart else "", []).append(trial)
        for number, members in enumerate(groups.values()):
            name = f"{part}-{number}" if apart else part
            self._phase(Search("search", name, members, kind, settings.reduction_factor))

    def _finalists(self, searched: Sequence[Trial]) -> None:
        """The best trials of each group with other seeds: by their mean a winner is told from luck."""
        seeds = [self.recipe.seed + number for number in range(1, self.settings.seeds)]
        known = {trial.name: trial for trial in searched}
        groups: dict[tuple[str, bool], list[Result]] = {}
        for result in sorted(self.results, key=lambda result: result.rank):
            if result.state == "finished":
                groups.setdefault((result.row, result.transfer), []).append(result)
        best = [one for found in groups.values() for one in found[: self.settings.finalists]]
        again = []
        for result in best:
            trial = known.get(result.name) or next(
                one for one in searched if (one.row, one.model.transfer is not None) == (result.row, result.transfer)
            ).with_values(result.values)
            again += [trial.with_values({"seed": seed}).model_copy(update={"phase": "finalists"}) for seed in seeds]
        found = self._phase(Search("finalists", "", self._allowed(again))) if again else None
        for result in best:
            others = [
                other for other in (found.results if found else [])
                if (other.row, other.transfer) == (result.row, result.transfer)
                and {**other.values, "seed": 0} == {**result.values, "seed": 0}
            ]  # fmt: skip
            losses = [one.validation_loss for one in (result, *others) if one.validation_loss is not None]
            spread = float(np.std(losses, ddof=1)) if len(losses) > 1 else 0.0
            self.sweep.finalists.append(
                Finalist(
                    name=result.name,
                    row=result.row,
                    transfer=result.transfer,
                    values=result.values,
                    seeds=len(losses),
                    mean=float(np.mean(losses)),
                    deviation=spread,
                )
            )
        self.sweep.finalists.sort(key=lambda one: (one.row, not one.transfer, one.mean))

    def _check_asha(self) -> None:
        check = self.settings.asha_check
        assert check is not None
        whole = self._phase(Search("grid", "", self.trials.asha_check("grid"))).results
        saved = self._phase(Search("asha", "", self.trials.asha_check("asha"), "asha", check.reduction_factor)).results
        losses = [min(result.rank for result in found) for found in (whole, saved)]
        steps = [sum(result.steps for result in found) for found in (whole, saved)]
        self.sweep.asha = AshaSaving(
            row=check.row,
            trials=len(whole),
            grid_steps=steps[0],
            asha_steps=steps[1],
            grid_loss=losses[0],
            asha_loss=losses[1],
        )

    def _ladder(self, found: Sequence[Result]) -> None:
        ladder = self.settings.ladder
        assert ladder is not None
        sizes = {
            row: ModelConfig.from_settings(row_model(row, self.settings), self.vocab_size).parameters()
            for row in (*ladder.rows, *([self.settings.target.row] if self.settings.target else []))
        }
        rates = (
            dict.fromkeys(sizes, ladder.learning_rate)
            if ladder.learning_rate
            else rates_for(sizes, found, self.settings.transfer is not None)
        )
        self.sweep.learning_rate = rates[self.settings.target.row if self.settings.target else ladder.rows[-1]]
        self._phase(Search("ladder", "", self._allowed(self.trials.ladder(rates))))

    def _phase(self, search: Search) -> Found:
        if self.recipe.resources.address is None and "RAY_ADDRESS" not in os.environ:
            check_size(search.trials[0], self.settings)
        found = run_search(search, self.settings, self.folder, self.vocab_size, self.allowance, self.listener)
        self.results += found.results
        self.curves |= {f"{search.phase}/{name}": curve for name, curve in found.curves.items()}
        self.sweep.busy.append(found.busy)
        for result in found.results:
            if result.state in ("diverged", "failed"):
                log.warning("tune: %s %s %s", result.name, result.state, result.error or "")
        if self.allowance.used_up:
            left = sum(result.state == "not started" for result in found.results)
            self._mark(f"the budget was used up in phase {search.phase}: {left} trials were not started")
        return found

    def _allowed(self, trials: Sequence[Trial]) -> list[Trial]:
        """As many of them as the budget has trials left."""
        if self.left is None:
            return list(trials)
        kept = list(trials[: self.left])
        if len(kept) < len(trials):
            self._mark(f"budget.trials = {self.settings.budget.trials} leaves out {len(trials) - len(kept)} trials")
        self.left -= len(kept)
        return kept

    def _mark(self, words: str) -> None:
        log.warning("tune: %s", words)
        self.sweep.marks.append(words)


def _group(row: str, transfer: bool) -> str:
    return f"{row} with transfer" if transfer else row
