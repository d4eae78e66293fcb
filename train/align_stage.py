"""Stage `align`: the fine-tuned model learns which answers are preferred, or which are right.

    pairs/, rejects.jsonl    (train/align_data.py)
    reference/               the fine-tuned model's log-probabilities of all answers (train/reference.py): dpo, ipo
    checkpoints/, metrics.jsonl, tensorboard/    as in the stage `pretrain`
    merged/                  with `align.lora`: the model's weights as a checkpoint (train/outcome.py)

counters: those of pretraining without baselines; pairs, validation_pairs, rejected.REASON; the objective's figures of
held-out data, and NAME_before of the start (train/preference_objective.py, train/grpo.py); divergence, of dpo and ipo:
KL(π ‖ π_ref) of the next token at the places of held-out answers, in nats. facts: method, checkpoint, model,
tokenizer_digest, steps; template, where it is not our own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.files import digest, sha256_file
from ..core.manifest import FileEntry
from ..core.recipe import Recipe
from ..core.settings_alignment import Align
from ..core.stage import Stage, StageContext, StageResult, sections
from ..core.user_files import PREFERENCES, file_stamps, user_files
from .finetune_stage import check_lora, check_tokenizer, tuning_job
from .pretrain_stage import result_settings, rounding

if TYPE_CHECKING:
    from ..tokenize.bpe import Tokenizer
    from .job import Job

DIVERGENCE_PAIRS = 64  # held-out pairs that the divergence is measured on


def align_stage(recipe: Recipe) -> Stage:
    """The stage for a recipe that has the section `align`."""
    pairs = ("instructions",) if settings_of(recipe).data.from_instructions else ()
    inputs = ("tokenizer", "pretrain", "finetune", *pairs)
    return Stage("align", inputs, config_of, work, external=external, check=check)


def settings_of(recipe: Recipe) -> Align:
    assert recipe.align is not None, "without the section align the recipe has no such stage"
    return recipe.align


def config_of(recipe: Recipe) -> dict[str, Any]:
    """What the weights depend on; of the methods' own settings those of the method."""
    settings = settings_of(recipe)
    found = result_settings(settings)
    others = ("data", "beta", "label_smoothing", "length_normalised") if settings.method == "grpo" else ("grpo",)
    return {
        "align": {key: value for key, value in found.items() if key not in others},
        **sections("seed")(recipe),
        **rounding(recipe),
    }


def external(recipe: Recipe) -> dict[str, str]:
    """Path to size and time of the user's files."""
    settings = settings_of(recipe)
    return {} if settings.method == "grpo" else file_stamps(user_files(settings.data.paths, PREFERENCES))


def check(ctx: StageContext) -> None:
    """The tokenizer is the one that the model was trained with, and LoRA has a place in the model."""
    from ..tokenize.bpe import Tokenizer

    check_tokenizer(ctx, Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json"), "finetune")
    check_lora(ctx, "finetune", settings_of(ctx.recipe).lora is not None, "align")


def work(ctx: StageContext) -> StageResult:
    from ..tokenize.bpe import Tokenizer
    from .launcher import launch
    from .outcome import result

    settings = settings_of(ctx.recipe)
    tokenizer = Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json")
    make = _grpo if settings.method == "grpo" else _preferences
    job, counters, files, measure = make(ctx, settings, tokenizer)
    launch(job, ctx.recipe.resources, ctx.progress)
    finished = result(job, counters)
    facts = {"method": settings.method, **finished.facts, **_template(ctx)}
    measured = measure(ctx.folder / finished.facts["checkpoint"])
    return StageResult([*finished.files, *files], finished.counters | measured, facts)


Made = tuple["Job", dict[str, float | int], list[FileEntry], Callable[[Path], dict[str, float | int]]]


def _preferences(ctx: StageContext, settings: Align, tokenizer: Tokenizer) -> Made:
    """The job of dpo, ipo and reward, what there is to count, what was written, and what is measured behind it."""
    from ..tokenize.chat_templates import make_template
    from .align_data import prepare
    from .preference import Objective
    from .preference_file import PairRows
    from .preference_objective import PreferenceObjective, RewardObjective
    from .variant import Variant

    job = _job(ctx, settings, tokenizer)
    template = make_template(ctx.inputs["finetune"].facts.get("template"), tokenizer)
    data = prepare(ctx, settings.data, template, job.model.context)
    rewarded = settings.method == "reward"
    reference = {side: [] for side in data.pairs} if rewarded else _reference(ctx, data.pairs, settings)
    whole = job.model.context if ctx.recipe.resources.parallel.compile else None
    opened = {
        side: partial(PairRows, path, [ctx.folder / entry.path for entry in reference[side]], whole)
        for side, path in (("train", data.train), ("validation", data.validation))
    }
    if settings.method in ("dpo", "ipo"):
        smoothing, normalised = settings.label_smoothing, settings.length_normalised
        objective = PreferenceObjective(Objective(settings.method, settings.beta, smoothing, normalised))
    else:
        objective = RewardObjective()
    held_out = data.pairs["validation"] > 0
    job = replace(
        job,
        open_data=opened["train"],
        open_validation=opened["validation"] if held_out else None,
        data_digest=sha256_file(data.train),
        variant=Variant.of(settings.lora, reward=rewarded),
        objective=objective,
    )
    entries = [entry for side in reference.values() for entry in side]
    measure = partial(_divergence, ctx, data.validation) if held_out and not rewarded else _nothing
    return job, data.counters, [*data.files, *entries], measure


def _reference(ctx: StageContext, pairs: dict[str, int], settings: Align) -> dict[str, list[FileEntry]]:
    """The reference's log-probabilities, side by side with the pairs, by Ray Data."""
    from ..core.unit_map import map_units
    from .reference import reference_units, reference_work

    resources = ctx.recipe.resources
    units = [unit for side, number in pairs.items() for unit in reference_units(side, number, resources.train_workers)]
    config = {
        "checkpoint": str(_base(ctx)),
        "pairs": {side: sha256_file(ctx.folder / "pairs" / f"{side}.arrow") for side in pairs},
        "precision": ctx.inputs["pretrain"].config["train"]["precision"],
        "rows": max(1, settings.batch // resources.train_workers),
    }
    reports = map_units(
        reference_work, units, ctx.folder, config, ctx.progress, counting="pairs", gpus=resources.gpus_per_worker
    )
    found: dict[str, list[FileEntry]] = {side: [] for side in pairs}
    for unit, report in zip(units, reports, strict=True):
        found[unit.spec["split"]] += report.files
    return found


def _grpo(ctx: StageContext, settings: Align, tokenizer: Tokenizer) -> Made:
    """The job of grpo."""
    from ..tokenize.chat_templates import end_of_answer, make_template
    from .arithmetic import Arithmetic
    from .grpo import GrpoObjective, TaskPrompts

    description = ctx.inputs["finetune"].facts.get("template")
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
    return job, {"problems": own.problems, "validation_problems": own.held_out}, [], _nothing


def _job(ctx: StageContext, settings: Align, tokenizer: Tokenizer) -> Job:
    job = tuning_job(ctx, tokenizer, settings, ctx.inputs["pretrain"].config["train"]["precision"])
    return replace(job, recipe=config_of(ctx.recipe), initial=_base(ctx))


def _base(ctx: StageContext) -> Path:
    """The checkpoint of the fine-tuned model."""
    return ctx.input_folder("finetune") / ctx.inputs["finetune"].facts["checkpoint"]


def _template(ctx: StageContext) -> dict[str, Any]:
    """The fine-tuned model's, handed on."""
    return {key: value for key, value in ctx.inputs["finetune"].facts.items() if key == "template"}


def _divergence(ctx: StageContext, pairs: Path, checkpoint: Path) -> dict[str, float | int]:
    """Measured with both models side by side, in a task of Ray."""
    import ray

    from .divergence import held_out_divergence

    resources = ctx.recipe.resources
    task = ray.remote(num_cpus=resources.cpus_per_worker, num_gpus=resources.gpus_per_worker)(held_out_divergence)
    return {"divergence": ray.get(task.remote(checkpoint, _base(ctx), pairs, DIVERGENCE_PAIRS))}


def _nothing(checkpoint: Path) -> dict[str, float | int]:
    return {}
