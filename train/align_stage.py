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

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.recipe import Recipe
from ..core.settings_alignment import Align
from ..core.stage import Stage, StageContext, StageResult, sections
from ..core.user_files import PREFERENCES, file_stamps, user_files
from .finetune_stage import check_lora, check_tokenizer
from .pretrain_stage import looking, result_settings, rounding, training_workers

if TYPE_CHECKING:
    from .align_jobs import Made
    from .pretrain_stage import MakeProbe

DIVERGENCE_PAIRS = 64  # held-out pairs that the divergence is measured on


def align_stage(recipe: Recipe) -> Stage:
    """The stage for a recipe that has the section `align`."""
    pairs = ("instructions",) if settings_of(recipe).data.from_instructions else ()
    inputs = ("tokenizer", "pretrain", "finetune", *pairs)
    return Stage("align", inputs, config_of, work, external=external, check=check, holds=training_workers)


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


def work(ctx: StageContext, probe: MakeProbe | None = None) -> StageResult:
    from ..tokenize.bpe import Tokenizer
    from .align_jobs import make
    from .launcher import launch
    from .outcome import result

    settings = settings_of(ctx.recipe)
    made = make(ctx, settings, Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json"))
    job = looking(replace(made.job, recipe=config_of(ctx.recipe)), ctx, probe)
    launch(job, ctx.recipe.resources, ctx.progress)
    finished = result(job, made.counters)
    template = {key: value for key, value in ctx.inputs["finetune"].facts.items() if key == "template"}
    facts = {"method": settings.method, **finished.facts, **template}
    apart = divergence(ctx, made, ctx.folder / finished.facts["checkpoint"])
    return StageResult([*finished.files, *made.files], finished.counters | apart, facts)


def divergence(ctx: StageContext, made: Made, checkpoint: Path) -> dict[str, float]:
    """Of dpo and ipo: measured with both models side by side, in a task of Ray."""
    if made.compared is None or made.job.initial is None:
        return {}
    import ray

    from .divergence import held_out_divergence

    resources = ctx.recipe.resources
    task = ray.remote(**resources.of_task)(held_out_divergence)
    task = task.options(name="align.held_out_divergence")
    found = task.remote(checkpoint, made.job.initial, made.compared, DIVERGENCE_PAIRS)
    return {"divergence": ray.get(found)}
