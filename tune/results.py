"""What a sweep found, as files of its stage:

results.json    a `Result` a trial, and of a ladder one a length: rows as in the recipe, the lowest loss first
curves.json     {trial: [[tokens, validation loss], …]}
sweep.json      a `Sweep`: what was chosen, how busy the machine was, what ASHA saved, marks
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from pydantic import BaseModel
from rich import box
from rich.markup import escape
from rich.table import Table

from ..core.files import write_json
from ..core.progress import console
from .show import short

FILE_NAME = "results.json"
CURVES = "curves.json"
SWEEP = "sweep.json"

Phase = Literal["search", "finalists", "grid", "asha", "ladder"]
State = Literal["finished", "stopped", "diverged", "failed", "not started"]
Curves = dict[str, list[tuple[int, float]]]


class Result(BaseModel):
    """What became of a trial, or of one length of a ladder's run.

    phase: search; finalists (its best with other seeds); grid and asha (a grid to its end, and under ASHA); ladder.
    state: finished; stopped (by the scheduler at a rung, or by the budget); diverged (a loss was not finite); failed
    (`error` says why); not started (the budget was used up). Losses are the last measured, None when the trial
    diverged or failed. `values` are those of the search space. Seconds count the whole trial, in a ladder up to here.
    """

    name: str
    phase: Phase = "search"
    row: str
    transfer: bool = False
    seed: int = 0
    values: dict[str, int | float | str] = {}
    learning_rate: float
    weight_decay: float = 0.0
    batch_tokens: int = 0
    parameters: int
    flops: float = 0.0  # ModelConfig.flops_per_token · tokens
    length: int = 0  # tokens asked for: `tokens` are those of whole steps
    steps: int
    tokens: int
    validation_loss: float | None
    bits_per_byte: float | None
    seconds: float
    cpu_seconds: float = 0.0
    state: State
    error: str | None = None

    @property
    def asked(self) -> int:
        """The length in tokens that was asked for; files of earlier versions have none."""
        return self.length or self.tokens

    @property
    def rank(self) -> float:
        """Sorts the best first, and what has no loss last."""
        return math.inf if self.validation_loss is None else self.validation_loss


class Busy(BaseModel):
    """How much of the machine a phase's trials used while at least one of them ran."""

    phase: str
    trials: int
    steps: int
    cores: int
    wall_seconds: float
    cpu_seconds: float  # of the trials' processes

    @property
    def share(self) -> float:
        return self.cpu_seconds / max(1e-9, self.wall_seconds * self.cores)


class AshaSaving(BaseModel):
    """A grid to its end against the same grid under ASHA."""

    row: str
    trials: int
    grid_steps: int
    asha_steps: int
    grid_loss: float
    asha_loss: float


class Finalist(BaseModel):
    """One of a row's best trials, over seeds. deviation: the standard one of its losses."""

    name: str
    row: str
    transfer: bool
    values: dict[str, int | float | str]
    seeds: int
    mean: float
    deviation: float


class Sweep(BaseModel):
    """What is to be said of a sweep as a whole.

    learning_rate: of the ladder's runs with transfer, at the base row's shape. drift: grid steps by which the best
    learning rate differs between the smallest and the largest row, {"transfer": …, "standard": …}. marks: for people.
    """

    learning_rate: float | None = None
    grid_factor: float | None = None  # from one learning rate of the grid to the next
    drift: dict[str, float] = {}
    drift_is_bound: list[str] = []  # of `drift`, where a best rate is at its grid's end: it moves at least so far
    busy: list[Busy] = []
    cores: int = 0  # of Ray
    wall_seconds: float = 0.0  # of all drivers, each from its first trial's start to the last report
    asha: AshaSaving | None = None
    finalists: list[Finalist] = []  # of each row the best mean first
    extended: dict[str, list[float]] = {}  # learning rates added beyond the grid's end, by row
    marks: list[str] = []

    @property
    def busy_share(self) -> float | None:
        """Processor time of the trials over wall time and cores, gaps between phases among it."""
        whole = self.wall_seconds * self.cores
        return sum(one.cpu_seconds for one in self.busy) / whole if whole else None


def best_of_rows(results: Sequence[Result], finalists: Sequence[Finalist] = ()) -> dict[str, Result]:
    """The trial of the search with the lowest loss of each row that has one; where finalists ran with several seeds,
    the one with the lowest mean."""
    means = {(one.row, one.transfer, one.name): one.mean for one in finalists}
    known = {one.row for one in finalists}
    best: dict[str, tuple[float, Result]] = {}
    for result in results:
        if result.phase != "search" or result.validation_loss is None:
            continue
        mean = means.get((result.row, result.transfer, result.name))
        if result.row in known and mean is None:
            continue
        loss = result.validation_loss if mean is None else mean
        if result.row not in best or (loss, result.validation_loss) < (best[result.row][0], best[result.row][1].rank):
            best[result.row] = (loss, result)
    return {row: result for row, (_, result) in best.items()}


def write_results(folder: Path, results: Sequence[Result], curves: Mapping[str, Any], sweep: Sweep) -> list[Path]:
    """Write the three files, and return their paths."""
    write_json(folder / FILE_NAME, [result.model_dump(mode="json") for result in results])
    write_json(folder / CURVES, dict(curves))
    write_json(folder / SWEEP, sweep.model_dump(mode="json"))
    return [folder / name for name in (FILE_NAME, CURVES, SWEEP)]


def read_results(folder: Path) -> list[Result]:
    """The results of a finished search, from the stage's folder."""
    return [Result.model_validate(raw) for raw in json.loads((folder / FILE_NAME).read_text(encoding="utf-8"))]


def read_curves(folder: Path) -> Curves:
    """Tokens and validation loss of each trial, by PHASE/NAME."""
    raw = json.loads((folder / CURVES).read_text(encoding="utf-8"))
    return {name: [(int(tokens), float(loss)) for tokens, loss in curve] for name, curve in raw.items()}


def read_sweep(folder: Path) -> Sweep:
    return Sweep.model_validate_json((folder / SWEEP).read_text(encoding="utf-8"))


def in_order(results: Sequence[Result], rows: Sequence[str]) -> list[Result]:
    """By phase, by row as the recipe names them, with transfer and without, the lowest loss first."""
    phases, places = get_args(Phase), {row: place for place, row in enumerate(rows)}
    return sorted(results, key=lambda one: (phases.index(one.phase), places[one.row], not one.transfer, one.rank))


def print_table(results: Sequence[Result], most: int = 6) -> None:
    """A line a trial, the best of each row in bold; of a row's trials in a phase the best `most`."""
    table = Table(title="what was searched", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("row", "size", "rate", "tokens", "loss", "bits/byte"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("state")
    best = best_of_rows(results)
    groups: dict[tuple[str, str, bool], list[Result]] = {}
    for result in results:
        groups.setdefault((result.phase, result.row, result.transfer), []).append(result)
    for (phase, row, transfer), members in groups.items():
        more = len(members) - most
        table.add_row(f"{phase}: {row}{' (transfer)' if transfer else ''}", short(members[0].parameters))
        for place, result in enumerate(members[:most]):
            table.add_row(
                "",
                "",
                f"{result.learning_rate:.3g}",
                short(result.tokens),
                "" if result.validation_loss is None else f"{result.validation_loss:.3f}",
                "" if result.bits_per_byte is None else f"{result.bits_per_byte:.3f}",
                escape(result.error or result.state),
                style="bold" if best.get(row) == result else None,
                end_section=more <= 0 and place == len(members) - 1,
            )
        if more > 0:
            table.add_row("", "", "", "", "", "", f"… {more} more", end_section=True)
    console.print(table)
