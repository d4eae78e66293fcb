"""The spike guard: is this update like those before it?

A pure function of the run's own history: the loss and the gradient norm of the newest updates that were applied, which
checkpoints keep. So a run that resumes judges as an undisturbed one would have. All ranks hold the same numbers, made
by one all-reduce, and judge alike.

Median and MAD (median absolute deviation; 1.4826 · MAD is a normal distribution's standard deviation, Hampel 1974) do
not move when a few of the values are wild. Norms are compared by their logarithms, as they vary by factors. A floor
under the deviation keeps a smooth run from calling every wrinkle a spike. Only what is too high is one.

After a rewind the steps run again on other rows: positions of the order are shifted past those of the batches between
the checkpoint and the spike, the way PaLM was trained (Chowdhery et al. 2022, section 5.1).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from ..core.errors import StageError
from ..core.settings_guard import SpikeGuard

MAD_TO_DEVIATION = 1.4826
LOSS_FLOOR = 0.01  # of the median
NORM_FLOOR = 0.15  # in the logarithm: some 15 %
FIX = "see events.jsonl for the documents; lower the learning rate, lengthen its warm-up, or raise guard.threshold"


class Rewind(Exception):
    """The loop's word to whoever started it: go back to the newest checkpoint. All ranks raise it at the same step."""

    def __init__(self, step: int, position: int) -> None:
        super().__init__(f"spike at step {step}")
        self.step, self.position = step, position  # the position of the order to go on from


@dataclass
class History:
    """What a checkpoint keeps of the guard; JSON gives floats back to the bit."""

    recent: list[list[float]] = field(default_factory=list)  # [loss, gradient norm] of the newest applied updates
    shifts: list[list[int]] = field(default_factory=list)  # [step, rows]: from this step on, positions lie that further
    events: int = 0  # lines of events.jsonl by then
    in_a_row: int = 0  # spikes since the last applied update
    rewinds: list[int] = field(default_factory=lambda: [0, 0])  # to the checkpoint of this step, so many

    def shift(self, step: int) -> int:
        """Rows that a step's positions are shifted by."""
        return next((rows for first, rows in reversed(self.shifts) if first <= step), 0)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Guard:
    """The guard of one run: settings and history."""

    def __init__(self, settings: SpikeGuard, history: History | None = None) -> None:
        self.settings, self.history = settings, history or History()

    def judge(self, loss: float, norm: float) -> str | None:
        """What is wrong with an update, None when it is to be applied, which is then remembered."""
        history = self.history
        fault = find_spike(history.recent, loss, norm, self.settings)
        if fault is None:
            history.recent = [*history.recent[1 - self.settings.window :], [loss, norm]]
            history.in_a_row = 0
            return None
        history.events += 1
        history.in_a_row += 1
        return fault

    def answer(self, step: int, fault: str, position: int) -> None:
        """What follows a spike: nothing but going on without the update, or Rewind to go on from `position`.

        Raises StageError after `patience` spikes one after the other.
        """
        if self.history.in_a_row > self.settings.patience:
            raise StageError(f"step {step}: {fault}, after {self.history.in_a_row - 1} other spikes in a row", FIX)
        if self.settings.policy == "rewind":
            raise Rewind(step, position)


def find_spike(recent: Sequence[Sequence[float]], loss: float, norm: float, settings: SpikeGuard) -> str | None:
    """Why an update with this loss and gradient norm is a spike after `recent` ones; None when it is none."""
    if not math.isfinite(loss) or not math.isfinite(norm):
        return f"the loss is {loss}, the gradient's norm {norm}"
    if len(recent) < settings.warmup:
        return None
    losses, norms = np.array(recent).T
    middle, deviation = _robust(losses)
    deviation = max(deviation, LOSS_FLOOR * abs(middle))
    if loss > middle + settings.threshold * deviation:
        return f"the loss is {loss:.4g}, {(loss - middle) / deviation:.1f} deviations above the median {middle:.4g}"
    middle, deviation = _robust(np.log(np.maximum(norms, 1e-30)))
    deviation = max(deviation, NORM_FLOOR)
    if norm > 0 and math.log(norm) > middle + settings.threshold * deviation:
        return (
            f"the gradient's norm is {norm:.4g}, {(math.log(norm) - middle) / deviation:.1f} deviations "
            f"above the median {math.exp(middle):.4g}, by logarithms"
        )
    return None


def after_rewind(found: History, spiked: History, rewind: Rewind, checkpoint: int, rows: int, patience: int) -> History:
    """The history to go on with from a checkpoint: `found` is the checkpoint's, `spiked` that at the spike.

    `rows`: an undisturbed order's first position after the checkpoint. Raises StageError after `patience` rewinds to
    one checkpoint.
    """
    before = spiked.rewinds[1] if spiked.rewinds[0] == checkpoint else 0
    if before >= patience:
        raise StageError(
            f"step {rewind.step}: another spike after {before} rewinds to the checkpoint of step {checkpoint}", FIX
        )
    shifts = [[first, shift] for first, shift in found.shifts if first <= checkpoint]
    return History(
        recent=found.recent,
        shifts=[*shifts, [checkpoint + 1, rewind.position - rows]],
        events=spiked.events,
        rewinds=[checkpoint, before + 1],
    )


def _robust(values: np.ndarray) -> tuple[float, float]:
    """Median, and the deviation that the MAD stands for."""
    middle = float(np.median(values))
    return middle, MAD_TO_DEVIATION * float(np.median(np.abs(values - middle)))
