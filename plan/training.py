"""How long a training takes, and what a rank of it holds: by FLOPs, as a measured training did them or GPUs can.

On CPUs a rank does as many FLOPs a second as those of the profile did, CPU by CPU, whatever the shape of the model; on
GPUs it is `mfu` of the peak. Rows are counted as full, as they were in the profile: so conversations that are shorter
than the context take as much less as they did there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ..chat.model_verb import vocab_size_of
from ..core.errors import InputError
from ..core.recipe import Recipe
from ..core.training_fit import check_training
from ..model.config import ModelConfig
from .machines import Machines
from .training_profile import FORWARD, MB, Training, counted_mb, row_tokens, section_of, validations

GPU_MB = 1000.0  # of a GPU beyond what is counted: its context and the kernels' own space, assumed
RANK_MB = 800.0  # of a rank's process on a CPU, where none was measured
START_S = 20.0  # until Ray's workers train, where none was measured (docs/training.md)
STATES = 3 * 4  # bytes of a parameter in a checkpoint: its weight, and AdamW's two averages


@dataclass(frozen=True)
class Trained:
    """A training as it will go. `judging_s`: of its seconds, those of
    validation; `memory_mb` of `room_mb`: a rank's; `checkpoint_bytes` of one; `kept`: how many lie
    there at the same time; `wrong`: why it would not start, and what is to be turned."""

    ranks: int
    seconds: float | None
    judging_s: float
    tokens: float
    flops: float
    memory_mb: float
    room_mb: float
    checkpoint_bytes: float
    kept: int
    cpus: float
    gpus: float
    wrong: tuple[str, str] | None = None


def model_of(recipe: Recipe) -> ModelConfig:
    """The model that is trained: the recipe's, or its base."""
    if recipe.base is None:
        return ModelConfig.from_settings(recipe.model, vocab_size_of(recipe))
    from ..train.checkpoints import newest, read_meta  # imports torch

    checkpoint = newest(Path(recipe.base))
    if checkpoint is None:
        raise InputError(f"base: {recipe.base} holds no imported model", "import it first: crawl2chat import MODEL")
    return ModelConfig.from_dict(read_meta(checkpoint).model)


def trained(
    recipe: Recipe, stage: str, config: ModelConfig, known: Mapping[str, Training], machines: Machines, judged: float
) -> Trained:
    """A stage's training. `judged`: tokens of the validation split; `known`: trainings of the profile, by stage."""
    section, resources = section_of(recipe, stage), recipe.resources
    ranks = (
        max(1, int(machines.gpus // max(resources.gpus_per_worker, 1))) if machines.gpus else resources.train_workers
    )
    cpus = 0.0 if machines.gpus else resources.cpus_per_worker * ranks
    each = row_tokens(recipe, stage)
    tokens = section.steps * each
    if stage == "pretrain":
        fewer = sum((section.batch - one.batch) * one.steps for one in recipe.train.batch_warmup)
        tokens -= fewer * recipe.model.context
    flops = tokens * config.flops_per_token()
    like = known.get(stage) or known.get("pretrain")
    rate = _flops_s(like, machines, cpus)
    seconds, judging_s = None, 0.0
    if rate:
        checks = validations(section.steps, section.validate_every)
        around = like.start_s + checks * like.check_s + like.end_s if like is not None and stage in known else START_S
        if stage == "pretrain":
            judging_s = checks * judged * config.flops_per_token() * FORWARD / rate
        seconds = around + flops / rate + judging_s
    counted = counted_mb(recipe, config, ranks)
    other = like.other_mb if like is not None else RANK_MB
    marked = section.steps // section.keep_every if section.keep_every else 0
    return Trained(
        ranks=ranks,
        seconds=seconds,
        judging_s=judging_s,
        tokens=tokens,
        flops=flops,
        memory_mb=counted + (GPU_MB if machines.gpus else other),
        room_mb=_room_mb(machines, ranks),
        checkpoint_bytes=float(config.parameters() * STATES),
        kept=min(section.keep_checkpoints, -(-section.steps // section.checkpoint_every)) + marked,
        cpus=cpus,
        gpus=float(machines.gpus),
        wrong=_wrong(recipe, machines, ranks),
    )


def _flops_s(like: Training | None, machines: Machines, cpus: float) -> float | None:
    """FLOPs a second of all ranks together; None where nothing tells."""
    if machines.gpus:
        return machines.gpus * machines.kind.peak * machines.mfu
    if like is None or like.gpus or not like.cpus:
        return None
    return like.flops_s / like.cpus * min(cpus, machines.all_cpus) * machines.speed


def _room_mb(machines: Machines, ranks: int) -> float:
    if machines.gpus:
        return machines.kind.memory / MB
    return machines.memory_gb * 1e3 / max(1, -(-ranks // machines.nodes))


def _wrong(recipe: Recipe, machines: Machines, ranks: int) -> tuple[str, str] | None:
    """Why the recipe would not train on so many ranks of these machines."""
    resources = recipe.resources.model_copy(update={"train_workers": ranks})
    try:
        check_training(recipe.train, recipe.finetune, recipe.align, resources)
    except ValueError as error:
        said, _, fix = str(error).rpartition("; ")
        return said or fix, fix
    if not machines.gpus and resources.training["CPU"] > machines.all_cpus:
        needs = f"its {ranks} ranks want {resources.training['CPU']:g} CPUs, there are {machines.all_cpus}"
        return needs, "lower resources.train_workers or resources.cpus_per_worker, or give more nodes"
    if not machines.gpus and resources.training["GPU"]:
        return f"its {ranks} ranks want {resources.training['GPU']:g} GPUs, there are none", "give --gpus"
    return None
