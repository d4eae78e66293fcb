"""One trial, described: a row of the scaling table with the settings that it is trained with.

A trial has one length, or several (a ladder's run): then the run to the longest one is stable until its own decay, and
a decay branches off it for each shorter one (Hu et al. 2024; Hägele et al. 2024).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.settings_model import Model
from ..core.settings_optimizer import Optimizer
from ..core.settings_parallel import Parallel
from ..core.settings_space import MIXED
from ..core.settings_training import Mixture
from .results import Phase

if TYPE_CHECKING:
    from ..train.loader import TrainData

Values = dict[str, int | float | str]
_SHORT = {"learning_rate": "lr", "weight_decay": "wd", "warmup_share": "warmup", "min_lr_ratio": "floor"}


class _Own(BaseModel):
    """Values that are the trial's; the others are the optimizer's and the mixture's."""

    batch: int = Field(default=1, ge=1)
    warmup_share: float = Field(default=0.0, ge=0, le=1)
    seed: int = 0


class Trial(BaseModel):
    """What a trial has to know. Travels to its worker as a plain dict, and stands so in Ray Tune's own files."""

    model_config = ConfigDict(frozen=True)
    row: str
    phase: Phase
    model: Model
    tokenizer: str  # path of tokenizer.json
    train_paths: list[str]
    validation_paths: list[str]
    validation_rows: int  # rows of `context` tokens that the validation loss is measured on
    lengths: list[int]  # tokens, rising
    report_tokens: int
    batch: int
    warmup_share: float  # of the shortest length
    precision: str
    seed: int
    optimizer: Optimizer
    mixture: Mixture | None = None
    document_mask: bool = False
    checkpoint_seconds: float = 30.0  # at least so long between two; 0: at every report
    folder: str = ""  # in the stage's, with Ray Tune's files, and checkpoints of trials of several workers
    workers: int = 1  # above 1 a Ray Train run
    cpus: float = 1.0  # of a worker
    gpus: float = 0.0
    place: dict[str, float] = {}  # custom resources that mark the nodes for training
    parallel: Parallel = Parallel()
    values: Values = {}  # of the search space, set already

    @property
    def name(self) -> str:
        """Names the trial within its phase, its folder too."""
        standard = [] if self.model.transfer is None else ["transfer"]
        values = [f"{_SHORT.get(key, key.replace('_', '-'))}{_told(value)}" for key, value in self.values.items()]
        return "-".join([self.row, *standard, *values])

    @property
    def tokens_per_step(self) -> int:
        return self.batch * self.model.context

    @property
    def steps(self) -> list[int]:
        """Of each length."""
        return [max(1, round(tokens / self.tokens_per_step)) for tokens in self.lengths]

    @property
    def report_every(self) -> int:
        """Steps."""
        return max(1, round(self.report_tokens / self.tokens_per_step))

    def settled(self) -> Trial:
        """With the warm-up in steps."""
        warmup = math.ceil(self.warmup_share * self.steps[0])
        return self.model_copy(update={"optimizer": self.optimizer.model_copy(update={"warmup_steps": warmup})})

    def with_values(self, values: Values) -> Trial:
        """The trial with these values of the search space. Raises pydantic's ValidationError for what is no value.

        A batch that was drawn is rounded. A learning rate is set as `with_rate` sets it.
        """
        given: dict[str, Any] = {key: value for key, value in values.items() if key in _Own.model_fields}
        weights = {key.removeprefix(MIXED): float(value) for key, value in values.items() if key.startswith(MIXED)}
        rest = {key: value for key, value in values.items() if key not in given and not key.startswith(MIXED)}
        rate = rest.pop("learning_rate", None)
        if isinstance(given.get("batch"), float):
            given["batch"] = round(given["batch"])
        own: dict[str, Any] = _Own.model_validate(given).model_dump(exclude_unset=True)
        optimizer = Optimizer.model_validate(self.optimizer.model_dump(exclude_unset=True) | rest)
        if rate is not None:
            optimizer = with_rate(optimizer, rate)
        told = {**self.values, **values, **own}
        if weights:
            own["mixture"] = Mixture(weights=(self.mixture.parts if self.mixture else {}) | weights)
        return self.model_copy(update=own | {"optimizer": optimizer, "values": told})


def with_rate(optimizer: Optimizer, learning_rate: float | str) -> Optimizer:
    """The optimizer at another learning rate; rates of its own that a part has (embedding_learning_rate,
    head_learning_rate, muon.learning_rate) change by the same factor, so that a search moves all of them.

    Raises pydantic's ValidationError for what is no rate.
    """
    changed = Optimizer.model_validate(optimizer.model_dump(exclude_unset=True) | {"learning_rate": learning_rate})
    factor = changed.learning_rate / optimizer.learning_rate
    parts: dict[str, Any] = {
        key: getattr(changed, key) * factor
        for key in ("embedding_learning_rate", "head_learning_rate")
        if getattr(changed, key) is not None
    }
    if changed.muon is not None:
        parts["muon"] = changed.muon.model_copy(update={"learning_rate": changed.muon.learning_rate * factor})
    return changed.model_copy(update=parts)


def _told(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.10g}"


class EvenSample:
    """At most `rows` rows of the data, spread evenly over it, the same in every trial; data themselves (TrainData)."""

    def __init__(self, data: TrainData, rows: int) -> None:
        self._data = data
        self._chosen = np.linspace(0, len(data) - 1, min(rows, len(data))).astype(np.int64)

    def __len__(self) -> int:
        return len(self._chosen)

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        return self._data.batch(self._chosen[indices])

    def target_count(self, indices: np.ndarray) -> int:
        return self._data.target_count(self._chosen[indices])
