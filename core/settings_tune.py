"""The recipe's section for the search over the scaling table, and for the ladder and target behind scaling laws."""

from __future__ import annotations

import math
import re
from typing import Literal

from pydantic import Field, PositiveFloat, model_validator

from .section import Section
from .settings_model import Model
from .settings_space import Range, Space, check_grid, check_population, check_space

ROW_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")  # it is part of the names of folders


class TransferFrom(Section):
    """Rates of all rows are meant for one of them, and carried over (model.transfer, docs/model.md)."""

    base: str = Field(description="the row whose shape the rates are those of")
    compare: bool = Field(default=False, description="every trial once more without transfer")


class Budget(Section):
    """Where a search ends, whichever comes first; null: no such end."""

    trials: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0, description="of searching, over restarts")
    tokens: int | None = Field(default=None, ge=1, description="trained on by all trials together")


class AshaCheck(Section):
    """A grid run to its end and once more under ASHA: what ASHA saves, and what it misses."""

    row: str
    space: Space
    reduction_factor: int = Field(default=4, ge=2)
    report_every: int | None = Field(default=None, gt=0, description="steps to the first rung; of tune if left out")


class Ladder(Section):
    """Runs that the law of the loss is fitted to: each row once, at the best rate found, its decays branching off at
    every length (wsd: Hu et al. 2024, Hägele et al. 2024)."""

    rows: list[str] = Field(min_length=1)
    tokens: list[int] | None = Field(default=None, description="lengths of every row, rising; one run gives them all")
    tokens_per_parameter: list[PositiveFloat] | None = Field(
        default=None, description="instead of tokens: lengths as multiples of a row's parameters, rising"
    )
    max_flops: float | None = Field(
        default=None, gt=0, description="6 · parameters · tokens, above which a row has no length; null: no limit"
    )
    learning_rate: float | None = Field(default=None, gt=0, description="null: what the search found")
    decay_share: float = Field(default=0.2, gt=0, lt=1, description="of each length, its last part")

    @model_validator(mode="after")
    def _rises(self) -> Ladder:
        if (self.tokens is None) == (self.tokens_per_parameter is None):
            raise ValueError("tune.ladder has tokens or tokens_per_parameter; give one of the two, a list that rises")
        if self.tokens is not None:
            _check_lengths("tune.ladder.tokens", self.tokens)
        elif (ratios := self.tokens_per_parameter) != sorted(set(ratios or [])) or not ratios:
            raise ValueError(f"tune.ladder.tokens_per_parameter is {ratios}; give numbers, each above the one before")
        return self

    def lengths(self, parameters: int, limited: bool = True) -> list[int]:
        """Tokens of a row of so many parameters, within max_flops unless `limited` is false."""
        lengths = self.tokens or [round(ratio * parameters) for ratio in self.tokens_per_parameter or []]
        most = self.max_flops if limited and self.max_flops is not None else math.inf
        return [tokens for tokens in lengths if 6 * parameters * tokens <= most]


class Target(Section):
    """The run that is forecast, and then made: `crawl2chat tune verify`."""

    row: str
    tokens: int = Field(ge=1)


class Tune(Section):
    """A search on Ray Tune, and the scaling laws that come of it."""

    rows: list[str] = Field(
        default_factory=lambda: ["50k", "100k", "250k"],
        min_length=1,
        description="of the scaling table, or of `shapes`",
    )
    shapes: dict[str, Model] = Field(default_factory=dict, description="rows of the recipe's own: keys as in `model`")
    transfer: TransferFrom | None = None
    space: Space = Field(
        default_factory=dict,
        description="what is searched, a list or {low, high}; without learning_rate: a row's own in the table, a third "
        "of it, and three times it",
    )
    searcher: Literal["grid", "random", "tpe"] = Field(default="grid", description="tpe: Optuna's, a study a row")
    samples: int = Field(default=16, ge=1, description="random, tpe, and the population of pbt: trials a row")
    scheduler: Literal["asha", "hyperband", "median", "pbt", "none"] = "asha"
    reduction_factor: int = Field(default=2, ge=2, description="asha, hyperband: of a rung one in so many goes on")
    finalists: int = Field(default=0, ge=0, description="the best trials of a row that are run with more seeds")
    seeds: int = Field(default=3, ge=2, description="of a finalist, its first run's among them")
    extend: int = Field(default=2, ge=0, description="times that a grid grows where its best rate is at its end")
    budget: Budget = Budget()
    steps: int = Field(
        default=60, ge=1, description="of the longest trials, at `batch`; other batches see as many tokens"
    )
    tokens: int | list[int] | None = Field(
        default=None, description="of a trial, instead of steps; several lengths, rising: one run gives all (wsd)"
    )
    batch: int = Field(default=8, ge=1)
    warmup_share: float = Field(default=0.1, ge=0, le=1, description="of the steps; the rest is as train.optimizer")
    report_every: int = Field(
        default=20, ge=1, description="steps at `batch` between two validation losses, ASHA's rungs"
    )
    validation_rows: int = Field(default=64, ge=1, description="of the validation split, evenly spread")
    concurrent: int = Field(default=2, ge=1, description="trials at a time; hyperband, pbt: as CPUs allow")
    workers_per_trial: int = Field(
        default=1, ge=1, description="above 1: each trial is a Ray Train run (FSDP) of its own"
    )
    asha_check: AshaCheck | None = None
    ladder: Ladder | None = None
    target: Target | None = None

    @model_validator(mode="after")
    def _fits_together(self) -> Tune:
        _check_spaces(self)
        _check_shapes(self)
        drawn = [key for key, values in self.space.items() if isinstance(values, Range)]
        if self.searcher == "grid" and self.scheduler != "pbt" and drawn:
            raise ValueError(
                f"tune.space.{drawn[0]} is a range, which a grid cannot go through; "
                "give a list of values, or set tune.searcher to random or tpe"
            )
        if self.workers_per_trial > 1 and self.scheduler in ("pbt", "hyperband"):
            raise ValueError(
                f"tune.scheduler is {self.scheduler}, which moves checkpoints between trials, and trials of "
                f"{self.workers_per_trial} workers keep theirs to themselves; set tune.scheduler to asha or median"
            )
        lengths = self.tokens if isinstance(self.tokens, list) else [self.tokens or 1]
        _check_lengths("tune.tokens", lengths)
        if len(lengths) > 1 and (self.scheduler != "none" or draws_as_it_goes(self)):
            raise ValueError(
                f"tune.tokens has {len(lengths)} lengths, and tune.scheduler is {self.scheduler}: a trial that is "
                "stopped has no lengths; set tune.scheduler to none"
            )
        if self.target is not None and self.ladder is None:
            raise ValueError("tune.target is given, but nothing that its loss could be forecast from; add tune.ladder")
        least = self.report_every * self.batch * 8  # no row has fewer than 8 tokens
        if self.budget.tokens is not None and self.budget.tokens < least:
            raise ValueError(
                f"tune.budget.tokens is {self.budget.tokens}, less than one trial's first rung: raise it, or lower "
                "tune.report_every"
            )
        return self


def draws_as_it_goes(tune: Tune) -> bool:
    """Whether values are drawn while the search runs, by Ray Tune, a row at a time."""
    return tune.searcher == "tpe" or tune.scheduler == "pbt"


def _check_lengths(name: str, lengths: list[int]) -> None:
    if not lengths or lengths != sorted(set(lengths)) or lengths[0] < 1:
        raise ValueError(f"{name} is {lengths}; give lengths in tokens, each longer than the one before")


def _check_spaces(tune: Tune) -> None:
    check_space("tune.space", tune.space)
    if tune.scheduler == "pbt":
        check_population("tune.space", tune.space)
    if tune.asha_check:
        check_space("tune.asha_check.space", tune.asha_check.space)
        check_grid("tune.asha_check.space", tune.asha_check.space)


def _check_shapes(tune: Tune) -> None:
    for name in tune.shapes:
        if not ROW_NAME.fullmatch(name):
            raise ValueError(
                f"tune.shapes has {name!r}, which names folders too; "
                "begin with a letter or digit, and go on with these, '_', '.', '-'"
            )
