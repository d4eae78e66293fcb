"""What is said of the target before it is trained, and what its training then measured.

RUN/forecast/forecast.json        a `Forecast`
RUN/verify/verification.json      a `Verification`
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from ..core.files import write_json
from ..core.log import log
from ..core.progress import console
from .laws import LossLaw, PowerLaw
from .show import short

FORECAST = "forecast.json"
VERIFICATION = "verification.json"
FAR = 10.0  # compute of the target over that of the largest run, below which a forecast says little

Span = tuple[float, float]


class TargetRun(BaseModel):
    """The run that is forecast. Tokens are those of whole steps; FLOPs ModelConfig.flops_per_token() · tokens."""

    model_config = ConfigDict(frozen=True)
    row: str
    parameters: int
    tokens: int
    flops: float


class Point(TargetRun):
    """A run of the fit: its loss, and what the law says."""

    loss: float
    fitted: float


class Budget(BaseModel):
    """A compute 6 N D at which several sizes were trained, and the best of them by a parabola."""

    flops: float
    parameters: float
    loss: float
    edge: str | None  # the end of the sizes at which the minimum lies


class IsoFlop(BaseModel):
    """The cross-check: best sizes by compute, without a formula for the loss. Its exponent should be `intervals`'."""

    law: PowerLaw
    intervals: dict[str, Span] | None
    budgets: list[Budget]


class Forecast(BaseModel):
    """target, loss, interval, compute_ratio are None in a recipe without tune.target.

    band: FLOPs, the law's loss, and the ends of its interval, from the smallest run straight to the target in log N and
    log D. learning_rate: the ladder's for the target (without one: for the largest run), at which it is trained.
    misses: by what share (root mean square) the additive and the coupled law, fitted to the ladder's smaller runs,
    missed the larger ones; `law` is the one that this speaks for. law_learning_rate: what the law of the best rate says
    instead, None without that law. marks: for people, what they have to know before they believe it.
    """

    written: datetime
    code_version: str
    target: TargetRun | None = None
    loss: float | None = None
    interval: Span | None = None
    level: float
    learning_rate: float
    law_learning_rate: float | None = None
    batch_tokens: int
    law: LossLaw
    misses: dict[str, float] = {}
    intervals: dict[str, Span]
    draws: int
    band: list[tuple[float, float, float, float]]
    points: list[Point]
    largest_fit_flops: float
    compute_ratio: float | None = None
    best: dict[str, PowerLaw | None]
    isoflop: IsoFlop | None = None
    marks: list[str] = []


class Verification(BaseModel):
    """What the target's training came to. `error` is (loss - forecast) / forecast."""

    loss: float
    bits_per_byte: float
    forecast: float
    interval: Span
    error: float
    inside: bool
    learning_rate: float
    steps: int
    tokens: int
    seconds: float  # from the first start to the end, interruptions among them
    curve: list[tuple[int, float]]  # tokens, validation loss


def write_forecast(folder: Path, forecast: Forecast) -> Path:
    write_json(folder / FORECAST, forecast.model_dump(mode="json"))
    return folder / FORECAST


def read_forecast(folder: Path) -> Forecast:
    return Forecast.model_validate_json((folder / FORECAST).read_text(encoding="utf-8"))


def read_verification(folder: Path) -> Verification:
    return Verification.model_validate_json((folder / VERIFICATION).read_text(encoding="utf-8"))


def print_forecast(forecast: Forecast) -> None:
    """The forecast in some lines, its marks as warnings."""
    law, said = forecast.law, f"{forecast.written:%Y-%m-%d %H:%M:%S} UTC, by version {forecast.code_version}"
    both = f"{law.A:.4g} / N^{law.alpha:.3g} + {law.B:.4g} / D^{law.beta:.3g}"
    constants = f"{law.E:.4g} + {both if law.gamma == 1 else f'({both})^{law.gamma:.3g}'}"
    _line(f"law of the loss: {constants}, of {len(forecast.points)} runs")
    if forecast.misses:
        how = " and ".join(f"the {name} law by {share:.2%}" for name, share in forecast.misses.items())
        _line(f"  fitted to the smaller of them, {how} missed the larger")
    if forecast.target is not None and forecast.interval is not None:
        target, (low, high) = forecast.target, forecast.interval
        size = f"{short(target.parameters)} parameters, {short(target.tokens)} tokens"
        _line(
            f"forecast for {target.row} ({size}): loss {forecast.loss:.4f}, "
            f"{forecast.level:.0%} between {low:.4f} and {high:.4f}"
        )
        _line(f"  {forecast.compute_ratio:.3g} times the compute of the largest run of the fit; written {said}")
    best = forecast.law_learning_rate
    beside = "" if best is None else f" (the law of the best one says {best:.3g})"
    _line(f"  learning rate {forecast.learning_rate:.3g}, the ladder's{beside}; batch {forecast.batch_tokens:,} tokens")
    for words in forecast.marks:
        log.warning("forecast: %s", words)


def print_verification(found: Verification) -> None:
    """Forecast against measurement, in three lines."""
    low, high = found.interval
    _line(f"forecast   {found.forecast:.4f}, interval {low:.4f} … {high:.4f}")
    _line(f"measured   {found.loss:.4f} ({found.bits_per_byte:.4f} bits/byte) after {found.steps:,} steps")
    where = "inside the interval" if found.inside else "OUTSIDE the interval: the forecast failed"
    _line(f"error      {found.error:+.2%}, {where}")


def _line(words: str) -> None:
    console.print(words, soft_wrap=True, highlight=False, markup=False)
