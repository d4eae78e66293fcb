"""A sweep, phase by phase: the search, grids that end too soon extended, finalists, the ladder, ASHA checked.

Each phase is one run of Ray Tune, or one a row where values are drawn. What an ended phase found is read again when the
sweep is continued, so that the phases after it come out the same.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import ray

from ..core.log import log
from ..core.recipe import Recipe
from ..core.settings_tune import draws_as_it_goes
from ..model.config import ModelConfig
from .finalists import finalists, means
from .lessons import beyond_edges, bounds, drift, grid_factor, rates_for, valleys
from .nested import check_size
from .outcomes import Found
from .plan import Trials
from .results import AshaSaving, Curves, Phase, Result, Sweep
from .rows import row_model
from .search import Search, run_search
from .spent import busy, session_seconds, starts
from .trial import Trial
from .watching import Allowance, Listener, Session


class SweepRun:
    """Runs the phases in `folder`; afterwards `results`, `curves` and `sweep` hold what was found."""

    def __init__(self, recipe: Recipe, trials: Trials, folder: Path, vocab_size: int, listener: Listener) -> None:
        self.recipe, self.settings, self.trials = recipe, recipe.tune, trials
        self.folder, self.vocab_size = folder, vocab_size
        budget, ladder = self.settings.budget, self.settings.ladder
        used = sum(start.tokens for start in starts(folder))
        seconds = None if budget.minutes is None else budget.minutes * 60 - session_seconds(folder)
        tokens = None if budget.tokens is None else float(budget.tokens - used)
        self.session = Session(listener, Allowance(seconds, tokens), folder)
        kept = len(ladder.rows) if ladder else 0  # for the ladder, without which the search was for nothing
        self.left = None if budget.trials is None else budget.trials - kept
        self.results: list[Result] = []
        self.curves: Curves = {}
        self.sweep = Sweep()

    def run(self) -> None:
        searched = self._search()
        if self.settings.finalists:
            self._finalists(searched)
        grid = self._checked("grid") if self.settings.asha_check else []
        under = self._checked("asha") if grid else []
        found = [result for result in self.results if result.phase == "search"]
        if self.settings.searcher == "grid":
            self.sweep.grid_factor = grid_factor(found)
            self.sweep.drift, self.sweep.drift_is_bound = drift(found)
        for (row, transfer), valley in valleys(found).items():
            if valley.edge:
                end = f"the {valley.edge} end of the learning rates tried ({valley.best:g})"
                self._mark(f"{_group(row, transfer)}: the lowest loss is at {end}; try values beyond it")
        for words in bounds(found, self.settings.space):
            self._mark(words)
        if self.settings.ladder:
            self._ladder(found, beside=grid)
        elif grid:
            self._phase(Search("grid", "", grid))
        if under:
            self._asha(under)
        self.sweep.cores = round(ray.cluster_resources().get("CPU", 0))
        self.sweep.busy = busy(list(starts(self.folder)), self.sweep.cores)
        self.sweep.wall_seconds = session_seconds(self.folder)

    def _search(self) -> list[Trial]:
        settings = self.settings
        if draws_as_it_goes(settings):
            trials = self.trials.search()
            for trial in trials:
                samples = settings.samples if self.left is None else min(settings.samples, self.left)
                if samples < settings.samples:
                    self._leave_out(settings.samples - samples)
                if samples:
                    self._phase(
                        Search(
                            "search", f"-{trial.name}", [trial], settings.scheduler, settings.reduction_factor, samples
                        )
                    )
                    self.left = None if self.left is None else self.left - samples
            return trials
        trials = self._allowed(self.trials.search())
        # hyperband and the median rule compare all they see: a run of Ray Tune for each competition
        apart = settings.scheduler in ("hyperband", "median")
        self._run_all("", trials, settings.scheduler, apart)
        for turn in range(settings.extend if settings.searcher == "grid" else 0):
            more = self._allowed(beyond_edges(trials, self.results))
            if not more or self.session.used_up:
                break
            for trial in more:
                rates = self.sweep.extended.setdefault(_group(trial.row, trial.model.transfer is not None), [])
                rates.append(trial.optimizer.learning_rate)
            log.info("tune: the best of %d grids is at their end: each goes one step on", len(more))
            self._run_all(f"-beyond{turn + 1}", more, "none", False)
            trials = [*trials, *more]
        return trials

    def _run_all(self, part: str, trials: Sequence[Trial], kind: str, apart: bool) -> None:
        groups: dict[str, list[Trial]] = {}
        for trial in trials:
            groups.setdefault(_group(trial.row, trial.model.transfer is not None) if apart else "", []).append(trial)
        for number, members in enumerate(groups.values()):
            name = f"{part}-{number}" if apart else part
            self._phase(Search("search", name, members, kind, self.settings.reduction_factor))

    def _finalists(self, searched: Sequence[Trial]) -> None:
        """The best trials of each group with other seeds: by their mean a winner is told from luck."""
        best, again = finalists(searched, self.results, self.settings, self.recipe.seed)
        again = self._allowed(again)
        found = self._phase(Search("finalists", "", again)).results if again else []
        self.sweep.finalists = means(best, found)

    def _checked(self, phase: Phase) -> list[Trial]:
        """Trials of tune.asha_check's grid, to their end or under ASHA; none where the budget is too small for both."""
        trials = self.trials.asha_check(phase)
        needed = len(trials) * (2 if phase == "grid" else 1)
        if self.left is not None and self.left < needed:
            self._mark("budget.trials leaves too few for tune.asha_check: it is left out")
            return []
        self.left = None if self.left is None else self.left - len(trials)
        return trials

    def _asha(self, trials: Sequence[Trial]) -> None:
        """What ASHA saves, once the grid has been run to its end."""
        check = self.settings.asha_check
        assert check is not None
        whole = [one for one in self.results if one.phase == "grid"]
        under = self._phase(Search("asha", "", trials, "asha", check.reduction_factor)).results
        ends = [[one.rank for one in found if one.state == "finished"] for found in (whole, under)]
        if self.session.used_up or not all(ends):
            self._mark("the budget ended tune.asha_check, or no trial of it has a loss: nothing is said of ASHA")
            return
        self.sweep.asha = AshaSaving(
            row=check.row,
            trials=len(whole),
            grid_steps=sum(one.steps for one in whole),
            asha_steps=sum(one.steps for one in under),
            grid_loss=min(ends[0]),
            asha_loss=min(ends[1]),
        )

    def _ladder(self, found: Sequence[Result], beside: Sequence[Trial]) -> None:
        """`beside`: trials short enough to keep busy the cores that long ones leave."""
        ladder, transfer = self.settings.ladder, self.settings.transfer is not None
        assert ladder is not None
        sizes = {
            row: ModelConfig.from_settings(row_model(row, self.settings), self.vocab_size).parameters()
            for row in ladder.rows
        }
        if ladder.learning_rate:
            rates = dict.fromkeys(sizes, ladder.learning_rate)
        else:
            rates = rates_for(sizes, found, transfer, self.sweep.finalists)
        self.sweep.learning_rate = rates[ladder.rows[0]] if transfer else None
        self._phase(Search("ladder", "", [*self.trials.ladder(rates), *beside]))

    def _phase(self, search: Search) -> Found:
        if self.recipe.resources.address is None and "RAY_ADDRESS" not in os.environ:
            check_size(search.trials[0], self.settings)
        found = run_search(search, self.settings, self.folder, self.vocab_size, self.session)
        self.results += found.results
        phases = {one.name: one.phase for one in found.results}
        self.curves |= {f"{phases[name]}/{name}": curve for name, curve in found.curves.items()}
        for result in found.results:
            if result.state in ("diverged", "failed"):
                log.warning("tune: %s %s %s", result.name, result.state, result.error or "")
        if self.session.used_up:
            left = sum(result.state == "not started" for result in found.results)
            self._mark(f"the budget was used up in phase {search.phase}: {left} trials were not started")
        return found

    def _allowed(self, trials: Sequence[Trial]) -> list[Trial]:
        """As many of them as the budget has trials left."""
        if self.left is None:
            return list(trials)
        kept = list(trials[: self.left])
        if len(kept) < len(trials):
            self._leave_out(len(trials) - len(kept))
        self.left -= len(kept)
        return kept

    def _leave_out(self, trials: int) -> None:
        self._mark(f"budget.trials = {self.settings.budget.trials} leaves out {trials} trials")

    def _mark(self, words: str) -> None:
        if words not in self.sweep.marks:
            log.warning("tune: %s", words)
            self.sweep.marks.append(words)


def _group(row: str, transfer: bool) -> str:
    return f"{row} with transfer" if transfer else row
