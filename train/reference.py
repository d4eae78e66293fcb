"""The frozen reference's log-probabilities of all answers, computed once: a unit's work on Ray Data (core/unit_map.py).

    reference/UNIT.arrow    chosen, rejected: float64, nats of a whole answer, in the order of the pairs

The reference is the model that alignment begins at. No training worker holds it in memory then.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from ..core.files import atomic_path
from ..core.manifest import file_entry
from ..core.remote_path import path_of
from ..core.units import Unit, UnitReport
from ..model.transformer import Transformer
from .checkpoints import load_for_inference
from .preference import reference_log_probs
from .preference_file import PairRows
from .preference_objective import flat_pairs

PAIRS_A_UNIT = 512


def reference_units(split: str, pairs: int, workers: int) -> list[Unit]:
    """Stretches of a split's pairs, at least as many as there are workers."""
    size = max(1, min(PAIRS_A_UNIT, -(-pairs // workers)))
    starts = range(0, pairs, size)
    return [
        Unit(name=f"{split}-{number:05d}", spec={"split": split, "start": start, "stop": min(pairs, start + size)})
        for number, start in enumerate(starts)
    ]


def reference_work(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """config: checkpoint, precision, rows (pairs a forward); the pairs stand in `folder`/pairs/SPLIT.arrow."""
    spec = unit.spec
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = _model(config["checkpoint"], str(device))
    rows = PairRows(folder / "pairs" / f"{spec['split']}.arrow", context=model.config.context)
    chosen, rejected = [], []
    for start in range(spec["start"], spec["stop"], config["rows"]):
        batch = rows.batch(np.arange(start, min(spec["stop"], start + config["rows"])))
        tokens_BT, answer_BT = flat_pairs(batch[0], batch[1], device)
        found = reference_log_probs(model, tokens_BT, answer_BT, config["precision"])
        chosen.append(found.chosen_P.double().cpu().numpy())
        rejected.append(found.rejected_P.double().cpu().numpy())
    table = pa.RecordBatch.from_pydict({"chosen": np.concatenate(chosen), "rejected": np.concatenate(rejected)})
    target = folder / "reference" / f"{unit.name}.arrow"
    with atomic_path(target) as partial, pa.ipc.new_file(str(partial), table.schema) as writer:
        writer.write_batch(table)
    number = spec["stop"] - spec["start"]
    return UnitReport(name=unit.name, files=[file_entry(folder, target, number)], counters={"pairs": number})


@lru_cache(maxsize=1)
def _model(checkpoint: str, device: str) -> Transformer:
    """Read once in a worker process, for all of its units."""
    return load_for_inference(path_of(checkpoint))[0].to(device)
