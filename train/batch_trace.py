"""From a row of a training batch back to the documents that its tokens came from."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..core.errors import ContractError, InputError
from ..core.manifest import Manifest
from ..core.run import Run
from ..core.settings_training import Mixture
from .batch_sizes import begins
from .early import EarlyRows
from .guard import History
from .loader import Span, TrainData
from .mixture import open_rows, row_numbers
from .pretrain_stage import EARLY, late_shards


def trace_rows(run: Run, step: int, row: int) -> list[Span]:
    """The pieces of documents in row `row` (from 0) of the batch of pretraining step `step` (from 1), in their order.

    Each span names the shard file, the document's row in it, its doc_id, and the tokens start … stop - 1 of it.
    Settings are those that the run was trained with. Raises InputError when there is no such step or row.
    """
    trained, shards = run.need("pretrain"), run.need("shards")
    _same("pretrain", trained, "shards", shards, run)
    _same("shards", shards, "extract", run.need("extract"), run)
    config = trained.config
    steps, context = config["train"]["steps"], config["model"]["context"]
    stages = [(stage["steps"], stage["batch"]) for stage in config["train"]["batch_warmup"]]
    first, behind = (begins(config["train"]["batch"], stages, one) for one in (step, step + 1))
    if not 1 <= step <= steps:
        raise InputError(f"there is no step {step}: {run.folder} has trained steps 1 to {steps}", "name one of these")
    if not 0 <= row < behind - first:
        raise InputError(f"there is no row {row}: this batch has rows 0 to {behind - first - 1}", "name one of these")
    if EARLY in trained.inputs:
        early = run.need(EARLY)
        _same("pretrain", trained, EARLY, early, run)
        late = late_shards(early, run.stage("shards"), shards.fingerprint)
        data = EarlyRows(early.paths(run.stage(EARLY), "train/"), late, context)
    else:
        mixture = Mixture.model_validate(config["mixture"]) if "mixture" in config else None
        data = open_rows(shards.paths(run.stage("shards"), "train/"), context, mixture)
    shift = History(shifts=trained.facts.get("shifts", [])).shift(step)
    position = np.array([first + row + shift])
    return data.trace(int(row_numbers(data, config["seed"], position)[0]))


def batch_doc_ids(data: TrainData, indices: np.ndarray) -> list[str]:
    """The documents that a batch's tokens came from, each once, in the order of its rows; none of untraceable data."""
    trace: Any = getattr(data, "trace", None)
    if trace is None:
        return []
    return list(dict.fromkeys(span.doc_id for index in indices.tolist() for span in trace(index)))


def _same(later: str, made: Manifest, earlier: str, now: Manifest, run: Run) -> None:
    """The later stage must have been made from what the earlier one holds now."""
    if (was := made.inputs[earlier]) != now.digest:
        raise ContractError(
            f"{later} was made from {earlier} {was[:12]}, but {run.stage(earlier)} is {now.digest[:12]}",
            f"bring the run up to date: {run.command}",
        )
