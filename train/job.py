"""One training run, described: what the launcher sends to the workers, and what a checkpoint says of the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ..core.settings_optimizer import Optimizer
from ..core.settings_parallel import Parallel
from ..core.settings_training import ShardCache
from ..core.settings_watching import Watching
from ..model.config import ModelConfig
from . import checkpoints
from .along import Along
from .branch import Branch
from .guard import History
from .loader import TrainData
from .objective import Objective
from .plan import Plan
from .sharding import UNIT_PARAMETERS
from .variant import PLAIN, Variant
from .world import World

Report = Callable[[Path, dict[str, Any]], None]  # a checkpoint that is in place, the newest row of metrics
Show = Callable[[dict[str, Any]], None]  # a row of metrics
Probe = Callable[[nn.Module, World], dict[str, float]]  # looks at the model on all ranks, and leaves it as it was


@dataclass(frozen=True)
class Job:
    """One training run, as its workers get it. It travels by pickle: the data are opened where they are read."""

    folder: Path  # of the stage, on storage that all workers share
    model: ModelConfig
    plan: Plan
    optimizer: Optimizer
    keep: int  # newest checkpoints
    open_data: Callable[[], TrainData]
    open_validation: Callable[[], TrainData | Mapping[str, TrainData]] | None  # of sources, by name
    token_bytes: np.ndarray  # int32 [vocab_size]: bytes of UTF-8 a token stands for
    tokenizer_digest: str
    data_digest: str
    recipe: dict[str, Any]
    shards: Mapping[Path, str] = field(default_factory=dict)  # SHA-256 of the training files (train/verify.py)
    initial: Path | None = None  # a checkpoint whose weights to start from
    branch: Branch | None = None  # a checkpoint to go on from, to the end of its decay
    validate_first: bool = False  # before the first step as well
    variant: Variant = PLAIN  # low-rank differences, a reward model's head
    objective: Objective | None = None  # None: the next token
    along: Along | None = None  # what it writes after each validation
    document_begin: int | None = None  # the token that begins a document; given: attention stays within documents
    threads: int = 1
    parallel: Parallel = field(default_factory=Parallel)
    shard_cache: ShardCache | None = None  # on the machines' own disks (train/shard_cache.py)
    keep_every: int | None = None  # steps: checkpoints at multiples of it stay as well
    watching: Watching = field(default_factory=Watching)
    name: str = "run"  # for people, where several runs are shown
    save_beside: bool = True  # write checkpoints on a thread (train/saving.py)
    unit_parameters: int = UNIT_PARAMETERS  # train/sharding.py
    late: Path | None = (
        None  # folder of a stage that may be at work beside, and whose output comes late (train/early.py)
    )
    probe: Probe | None = None  # joins the metrics every plan.probe_every steps; with validate_first, before them

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    def meta(self, step: int, tokens_seen: int, history: History | None = None) -> checkpoints.Meta:
        return checkpoints.Meta(
            step=step,
            tokens_seen=tokens_seen,
            model=self.model.to_dict(),
            tokenizer_digest=self.tokenizer_digest,
            data_digest=self.data_digest,
            recipe=self.recipe,
            files={},
            guard=(history or History()).to_dict(),
            variant=self.variant.to_dict(),
        )

    def resume_from(self) -> tuple[Path | None, checkpoints.Meta]:
        """The newest complete checkpoint and its description; else the branch's; (None, that of step 0) without one.

        Raises ContractError when the checkpoint belongs to another model, tokenizer or data.
        """
        path = checkpoints.newest(self.checkpoints)
        if path is None:
            return (self.branch.checkpoint, self.branch.meta) if self.branch else (None, self.meta(0, 0))
        found = checkpoints.read_meta(path)
        found.check(path, self.meta(0, 0))
        return path, found
