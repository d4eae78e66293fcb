"""From what a sweep measured to a `Forecast`: the law of the ladder, and what it says of the target."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from ..core.errors import InputError
from ..core.settings_tune import Tune
from ..model.config import ModelConfig
from .best_settings import best_settings, law_rate, seed_spread
from .forecast import FAR, Budget, Forecast, IsoFlop, Point, TargetRun
from .isoflop import best_sizes, isoflop
from .ladder_fit import PRIOR, PRIOR_FREEDOM, LadderFit, Spread, fit_ladder
from .lessons import rates_for
from .results import Result, Sweep
from .rows import row_model, steps_of

LEVEL = 0.95
DRAWS = 400
BAND = 40  # values
APART = 1.5  # times the ladder's rate, or a share of it: a best rate beyond that is marked
MORE = "add rows or lengths to tune.ladder: the law needs three of each, better five"


def make_forecast(
    results: Sequence[Result],
    sweep: Sweep,
    settings: Tune,
    vocab_size: int,
    written: datetime,
    version: str,
    draws: int = DRAWS,
) -> Forecast:
    """Raises InputError when the finished runs of the ladder do not carry the law of the loss, and when the target's
    rate is that of a search in which no trial has a loss."""
    transfer = settings.transfer is not None
    ladder = [one for one in results if one.phase == "ladder" and one.transfer == transfer]
    runs = sorted((one for one in ladder if one.state == "finished"), key=lambda one: (one.parameters, one.tokens))
    seeds = seed_spread(results)
    fit = _fit(runs, ladder, seeds, draws)
    points = _points(runs, fit)
    largest = max(points, key=lambda one: one.flops)
    target = target_run(settings, vocab_size) if settings.target else None
    end = target or largest
    laws, marks = best_settings(results, transfer)
    rate = _ladder_rate(end, settings, sweep, results, runs)
    said_by_law = law_rate(laws["learning_rate"], end.parameters, end.tokens) if laws["learning_rate"] else None
    cross, without = _isoflop(runs)
    marks = [*fit.fit.marks, *_unfinished(ladder), *marks, *filter(None, [without])]
    if seeds is None:
        marks.append(_assumed(len({one.row for one in runs}), 3 + fit.fit.coupled))
    said = {}
    if target is not None:
        loss, low, high = (float(value) for value in fit.predict(target.parameters, target.tokens, LEVEL))
        ratio = target.flops / largest.flops
        said = {"target": target, "loss": loss, "interval": (low, high), "compute_ratio": ratio}
        marks += _target_marks(target, points, ratio)
        marks += _rate_marks(rate, *said_by_law) if said_by_law else []
    return Forecast(
        written=written,
        code_version=version,
        level=LEVEL,
        learning_rate=rate,
        law_learning_rate=said_by_law and said_by_law[0],
        batch_tokens=settings.batch * row_model(end.row, settings).context,
        law=fit.law,
        misses=fit.misses,
        intervals=fit.fit.intervals(LEVEL),
        draws=len(fit.errors),
        band=_band(fit, min(points, key=lambda one: one.flops), end),
        points=points,
        largest_fit_flops=largest.flops,
        best={key: one and one.law for key, one in laws.items()},
        isoflop=cross,
        marks=marks,
        **said,
    )


def target_run(settings: Tune, vocab_size: int) -> TargetRun:
    """The run that tune.target names, in whole steps. Raises RecipeError for a row that is none."""
    assert settings.target is not None
    config = ModelConfig.from_settings(row_model(settings.target.row, settings), vocab_size)
    steps = steps_of(settings.target.tokens, settings, config.context)
    tokens = steps * settings.batch * config.context
    flops = float(config.flops_per_token() * tokens)
    return TargetRun(row=settings.target.row, parameters=config.parameters(), tokens=tokens, flops=flops)


def _ladder_rate(
    run: TargetRun, settings: Tune, sweep: Sweep, results: Sequence[Result], ladder: Sequence[Result]
) -> float:
    """At which the ladder would have trained this run. The law of the loss knows no other rate: one that is better or
    worse would shift the target against it."""
    assert settings.ladder is not None
    if settings.ladder.learning_rate is not None:
        return settings.ladder.learning_rate
    if settings.transfer is not None:  # one for all rows
        return sweep.learning_rate or ladder[-1].learning_rate
    searched = [one for one in results if one.phase == "search"]
    return rates_for({run.row: run.parameters}, searched, False, sweep.finalists)[run.row]


def _fit(runs: Sequence[Result], ladder: Sequence[Result], seeds: Spread | None, draws: int) -> LadderFit:
    rows, sizes, lengths, losses = (
        [getattr(one, key) for one in runs] for key in ("row", "parameters", "tokens", "rank")
    )
    source = f"fitted to {len(runs)} runs of the ladder"
    try:
        return fit_ladder(rows, sizes, lengths, losses, seeds, draws, source=source)
    except InputError as error:
        lost = "; ".join(_unfinished(ladder))
        raise InputError(f"tune.ladder: {error.message}{f' ({lost})' if lost else ''}", MORE) from error


def _points(runs: Sequence[Result], fit: LadderFit) -> list[Point]:
    return [
        Point(
            row=one.row,
            parameters=one.parameters,
            tokens=one.tokens,
            flops=one.flops,
            loss=one.rank,
            fitted=float(fit.law.loss(one.parameters, one.tokens)),
        )
        for one in runs
    ]


def _band(fit: LadderFit, begin: TargetRun, end: TargetRun) -> list[tuple[float, float, float, float]]:
    """FLOPs are geometric means of those of the two ends: between them there is no row to count those of."""
    columns = [np.geomspace(getattr(begin, key), getattr(end, key), BAND) for key in ("flops", "parameters", "tokens")]
    band = (columns[0], *fit.predict(columns[1], columns[2], LEVEL))
    return [tuple(map(float, values)) for values in zip(*band, strict=True)]  # type: ignore[misc]


def _isoflop(runs: Sequence[Result]) -> tuple[IsoFlop | None, str | None]:
    sizes, lengths, losses = ([getattr(one, key) for one in runs] for key in ("parameters", "tokens", "rank"))
    try:
        budgets = isoflop(sizes, lengths, losses)
        power = best_sizes(budgets)
    except InputError as error:
        return None, f"no IsoFLOP cross-check: {error.message}"
    shown = [
        Budget(flops=one.flops, parameters=one.valley.best, loss=one.valley.loss, edge=one.valley.edge)
        for one in budgets
    ]
    return IsoFlop(law=power.law, intervals=power.intervals, budgets=shown), None


def _unfinished(ladder: Sequence[Result]) -> list[str]:
    lost = [one for one in ladder if one.state != "finished"]
    names = ", ".join(f"{one.row} at {one.tokens:,} tokens {one.state}" for one in lost[:3])
    return [f"{len(lost)} of {len(ladder)} runs of the ladder are not in the fit: {names}"] if lost else []


def _assumed(rows: int, spent: int) -> str:
    """What the interval rests on without seeds: the rows that the law's constants of size do not use up."""
    freedom = PRIOR_FREEDOM + max(0, rows - spent)
    largely = "largely " if freedom <= 2 * PRIOR_FREEDOM else ""
    return (
        f"no runs that differ in their seed alone: the interval rests {largely}on an assumed scatter of runs, "
        f"{PRIOR['run']:.1%}, for {PRIOR_FREEDOM} of its {freedom} degrees of freedom; set tune.finalists to measure it"
    )


def _rate_marks(rate: float, law: float, how: str) -> list[str]:
    if max(law / rate, rate / law) <= APART:
        return []
    trained = f"the target is trained at the ladder's {rate:.3g}, as the law of the loss was"
    return [f"the law of the best learning rate says {law:.3g} ({how}), {trained}"]


def _target_marks(target: TargetRun, points: Sequence[Point], ratio: float) -> list[str]:
    found = []
    if ratio < FAR:
        found.append(f"the target has {ratio:.3g} times the compute of the largest run, less than {FAR:g}: no long way")
    for key in ("parameters", "tokens"):
        value, most = getattr(target, key), max(getattr(one, key) for one in points)
        if value < most:
            found.append(f"the target has {value:,} {key}, fewer than the ladder's largest, {most:,}")
    return found
