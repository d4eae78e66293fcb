"""What the workers of the stage `align` are to do, method by method, and what has to be there before they start."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..core.files import digest, sha256_file
from ..core.manifest import FileEntry
from ..core.settings_alignment import Align
from ..core.stage import StageContext
from ..core.unit_map import map_units
from ..tokenize.bpe import Tokenizer
from ..tokenize.chat_templates import end_of_answer, make_template
from ..tokenize.given import describe_spoken
from .align_data import prepare
from .arithmetic import Arithmetic
from .finetune_stage import tuning_job
from .grpo import GrpoObjective, TaskPrompts
from .job import Job
from .preference import Objective
from .preference_file import PairRows
from .preference_objective import PreferenceObjective, RewardObjective
from .reference import reference_units, reference_work
from .variant import Variant

Counters = dict[str, float | int]


@dataclass(frozen=True)
class Made:
    """A job, what there is to count before it runs, and what was written for it."""

    job: Job
    counters: Counters
    files: list[FileEntry]
    compared: Path | None = None  # held-out pairs on which policy and reference are compared


def make(ctx: StageContext, settings: Align, tokenizer: Tokenizer) -> Made:
    """The job of the recipe's method, which begins at the fine-tuned model."""
    return (_grpo if settings.method == "grpo" else _preferences)(ctx, settings, tokenizer)


def _preferences(ctx: StageContext, settings: Align, tokenizer: Tokenizer) -> Made:
    """dpo, ipo, reward."""
    job = _job(ctx, settings, tokenizer)
    template = make_template(_template(ctx, tokenizer), tokenizer)
    data = prepare(ctx, settings.data, template, job.model.context)
    if settings.method in ("dpo", "ipo"):
        smoothing, normalised = settings.label_smoothing, settings.length_normalised
        objective = PreferenceObjective(Objective(settings.method, settings.beta, smoothing, normalised))
        reference = _reference(ctx, data.pairs, settings)
    else:
        objective, reference = RewardObjective(), {side: [] for side in data.pairs}
    whole = job.model.context if ctx.recipe.resources.parallel.compile else None
    opened = {
        side: partial(PairRows, path, [ctx.folder / entry.path for entry in reference[side]], whole, job.model.context)
        for side, path in (("train", data.train), ("validation", data.validation))
    }
    held_out, rewarded = data.pairs["validation"] > 0, settings.method == "reward"
    job = replace(
        job,
        open_data=opened["train"],
        open_validation=opened["validation"] if held_out else None,
        data_digest=sha256_file(data.train),
        variant=Variant.of(settings.lora, reward=rewarded),
        objective=objective,
    )
    entries = [entry for side in reference.values() for entry in side]
    compared = data.validation if held_out and not rewarded else None
    return Made(job, data.counters, [*data.files, *entries], compared)


def _reference(ctx: StageContext, pairs: dict[str, int], settings: Align) -> dict[str, list[FileEntry]]:
    """The reference's log-probabilities by side, in the order of the pairs, by Ray Data."""
    resources = ctx.recipe.resources
    units = [unit for side, number in pairs.items() for unit in reference_units(side, number, resources.train_workers)]
    config = {
        "checkpoint": str(_base(ctx)),
        "pairs": {side: sha256_file(ctx.folder / "pairs" / f"{side}.arrow") for side in pairs},
        "precision": _precision(ctx),
        "rows": max(1, settings.batch // resources.train_workers),
    }
    reports = map_units(
        reference_work, units, ctx.folder, config, ctx.progress, counting="pairs", needs=resources.of_task
    )
    found: dict[str, list[FileEntry]] = {side: [] for side in pairs}
    for unit, report in zip(units, reports, strict=True):
        found[unit.spec["split"]] += report.files
    return found


def _grpo(ctx: StageContext, settings: Align, tokenizer: Tokenizer) -> Made:
    description = _template(ctx, tokenizer)
    end = end_of_answer(make_template(description, tokenizer))
    own, job = settings.grpo, _job(ctx, settings, tokenizer)
    task = Arithmetic(tokenizer, description, end, ctx.recipe.seed, own.steps_a_problem, own.largest)
    job = replace(
        job,
        plan=replace(job.plan, guard=None),  # groups without a difference give gradients of zero, none of them a spike
        open_data=partial(TaskPrompts, task, 0, own.problems),
        open_validation=partial(TaskPrompts, task, own.problems, own.held_out),
        data_digest=digest([tokenizer.digest, description, own.model_dump(mode="json")]),
        objective=GrpoObjective(own, task, job.model, _base(ctx), job.variant, ctx.recipe.seed),
    )
    return Made(job, {"problems": own.problems, "validation_problems": own.held_out}, [])


def _template(ctx: StageContext, tokenizer: Tokenizer) -> dict[str, Any] | None:
    """What the fine-tuned model speaks. Manifests from before an imported model's own template stood in them say
    nothing of it."""
    found = ctx.inputs["finetune"].facts.get("template")
    return found or describe_spoken(ctx.input_folder("tokenizer"), tokenizer)


def _job(ctx: StageContext, settings: Align, tokenizer: Tokenizer) -> Job:
    return replace(tuning_job(ctx, tokenizer, settings, _precision(ctx)), initial=_base(ctx))


def _precision(ctx: StageContext) -> str:
    """The pretrained model's."""
    return ctx.inputs["pretrain"].config["train"]["precision"]


def _base(ctx: StageContext) -> Path:
    """The checkpoint of the fine-tuned model."""
    return ctx.input_folder("finetune") / ctx.inputs["finetune"].facts["checkpoint"]
