"""Stage `finetune`: the pretrained model learns to answer, from the stage `instructions`' conversations and the user's.

    examples/, rejects.jsonl    (train/finetune_data.py)
    checkpoints/, metrics.jsonl, tensorboard/    as in the stage `pretrain`
    merged/    with `finetune.lora`: the model's weights as a checkpoint (train/outcome.py)

counters: those of pretraining without baselines; examples, validation_examples, of pairs alone examples_cut,
examples_split and examples_dropped, of the user's data conversations, rejected.REASON, rows, places_filled, too_long,
dropped, truncated, split, nothing_to_learn; validation_loss_before is the base model's, on the same answers;
answers_asked, answers_ended and answers_ended_share: held-out prompts whose greedy answer ends by itself. facts:
checkpoint, model, tokenizer_digest, steps; template, where it is not our own.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import ContractError
from ..core.recipe import Recipe
from ..core.settings_training import Finetune, Resources
from ..core.stage import Stage, StageContext, StageResult, sections
from ..core.user_files import CHAT_DATA, file_stamps, user_files
from .pretrain_stage import looking, result_settings, rounding, training_workers

if TYPE_CHECKING:
    from ..tokenize.bpe import Tokenizer
    from .finetune_data import Prepared
    from .job import Job
    from .pretrain_stage import MakeProbe

LATER = ("data", "lora", "too_long")  # keys that runs from before do not have: left out, they change nothing
MEASURED = ("ending_prompts", "ending_tokens")  # what is looked at behind the training


def config_of(recipe: Recipe) -> dict[str, Any]:
    """What the weights depend on."""
    settings = result_settings(recipe.finetune)
    settings = {k: v for k, v in settings.items() if k not in MEASURED and not (k in LATER and v is None)}
    if recipe.base is None and (data := settings.get("data")) and data["template"] is None:
        data["template"] = "house"  # as it was when that was the default: nothing is trained again
    return {"finetune": settings, **sections("seed")(recipe), **rounding(recipe)}


def external(recipe: Recipe) -> dict[str, str]:
    """Path to size and time of the user's files, and of those that their template stands in."""
    data = recipe.finetune.data
    if data is None:
        return {}
    names = ("chat_template.jinja", "tokenizer_config.json") if data.template_folder else ()
    beside = [Path(data.template_folder or "", name) for name in names]
    return file_stamps([*user_files(data.paths, CHAT_DATA), *(file for file in beside if file.is_file())])


def check(ctx: StageContext) -> None:
    """The tokenizer is the one that the model was trained with, it has the template's tokens, and LoRA has a place."""
    from ..tokenize.bpe import Tokenizer
    from ..tokenize.chat_templates import make_template
    from ..tokenize.given import describe_spoken

    folder, data = ctx.input_folder("tokenizer"), ctx.recipe.finetune.data
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    check_tokenizer(ctx, tokenizer, "pretrain")
    chosen = (data.template, data.template_folder) if data is not None else ()
    make_template(describe_spoken(folder, tokenizer, *chosen), tokenizer)
    check_lora(ctx, "pretrain", ctx.recipe.finetune.lora is not None, "finetune")


def check_tokenizer(ctx: StageContext, tokenizer: Tokenizer, trained: str) -> None:
    """Raises ContractError when the model of the stage `trained` has another tokenizer."""
    made_with = ctx.inputs[trained].facts["tokenizer_digest"]
    if made_with != tokenizer.digest:
        raise ContractError(
            f"the model was trained with the tokenizer {made_with}, but this one is {tokenizer.digest}",
            f"bring the run up to date: {ctx.run.command}",
        )


def check_lora(ctx: StageContext, trained: str, wanted: bool, section: str) -> None:
    """Raises ContractError for a model with `model.transfer`, to which LoRA's rates are not derived."""
    if wanted and ctx.inputs[trained].facts["model"].get("transfer"):
        raise ContractError(
            f"{section}.lora is given, but the model has model.transfer", f"leave {section}.lora out: train all weights"
        )


def work(ctx: StageContext, probe: MakeProbe | None = None) -> StageResult:
    from ..tokenize.bpe import Tokenizer
    from .finetune_data import prepare
    from .launcher import launch
    from .outcome import result

    tokenizer = Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json")
    prepared = prepare(ctx, tokenizer, ctx.inputs["pretrain"].facts["model"]["context"])
    job = looking(finetune_job(ctx, tokenizer, prepared), ctx, probe)
    launch(job, ctx.recipe.resources, ctx.progress)
    finished = result(job, prepared.counters)
    settings = ctx.recipe.finetune
    ended = ended_answers(ctx.folder / finished.facts["checkpoint"], prepared, settings, ctx.recipe.resources)
    template = {"template": prepared.template} if prepared.template is not None else {}
    return StageResult(
        [*finished.files, *prepared.files], finished.counters | ended, finished.facts | template, finished.notes
    )


def finetune_job(ctx: StageContext, tokenizer: Tokenizer, prepared: Prepared) -> Job:
    """What the workers are to do. Shape and precision are those of the pretrained model."""
    base, settings = ctx.inputs["pretrain"], ctx.recipe.finetune
    job = tuning_job(ctx, tokenizer, settings, base.config["train"]["precision"])
    return replace(
        job,
        open_data=prepared.open_train,
        open_validation=prepared.open_validation,
        data_digest=prepared.digest,
        recipe=config_of(ctx.recipe),
        initial=ctx.input_folder("pretrain") / base.facts["checkpoint"],
    )


def tuning_job(ctx: StageContext, tokenizer: Tokenizer, settings: Any, precision: str) -> Job:
    """What the stages have in common that train a trained model on: `finetune`, `align`. Data are still to be named."""
    from ..model.config import ModelConfig
    from .job import Job
    from .plan import Plan
    from .variant import Variant

    return Job(
        folder=ctx.folder,
        model=ModelConfig.from_dict(ctx.inputs["pretrain"].facts["model"]),
        plan=Plan.of(settings, ctx.recipe.seed, precision),
        optimizer=settings.optimizer,
        keep=settings.keep_checkpoints,
        keep_every=settings.keep_every,
        watching=ctx.recipe.watching,
        name=f"{ctx.recipe.name}/{ctx.folder.name}",
        open_data=_no_data,
        open_validation=None,
        token_bytes=tokenizer.token_bytes(),
        tokenizer_digest=tokenizer.digest,
        data_digest="",
        recipe={},
        validate_first=True,
        variant=Variant.of(settings.lora),
        threads=ctx.recipe.resources.threads_per_worker,
        parallel=ctx.recipe.resources.parallel,
    )


def _no_data() -> Any:
    raise AssertionError("the stage names the data of its job")


def ended_answers(
    checkpoint: Path, prepared: Prepared, settings: Finetune, resources: Resources
) -> dict[str, float | int]:
    """answers_asked, answers_ended and their share, by as many tasks of Ray as there are training workers."""
    import ray

    from .checkpoints import read_meta
    from .ending import count_ended, held_out_prompts

    context = read_meta(checkpoint).model["context"]
    prompts = held_out_prompts(prepared.held_out, settings.ending_prompts, context) if settings.ending_prompts else []
    if not prompts:
        return {}
    count = ray.remote(**resources.of_task)(count_ended)
    count = count.options(name="finetune.count_ended")
    parts = [part for part in (prompts[n :: resources.train_workers] for n in range(resources.train_workers)) if part]
    ended = sum(ray.get([count.remote(checkpoint, part, prepared.end, settings.ending_tokens) for part in parts]))
    return {"answers_asked": len(prompts), "answers_ended": ended, "answers_ended_share": ended / len(prompts)}


FINETUNE = Stage(
    "finetune", ("tokenizer", "pretrain", "instructions"), config_of, work,
    external=external, check=check, holds=training_workers,
)  # fmt: skip


def finetune_stage(recipe: Recipe) -> Stage:
    """The stage for a recipe with instruction pairs or without, where it learns from the user's data alone."""
    return FINETUNE if recipe.instructions is not None else replace(FINETUNE, inputs=("tokenizer", "pretrain"))
