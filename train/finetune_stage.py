"""Stage `finetune`: the pretrained model learns to answer, from the stage `instructions`' conversations.

    examples/{train,validation}.arrow    encoded conversations (train/examples.py)
    checkpoints/, metrics.jsonl, tensorboard/    as in the stage `pretrain`

counters: examples, examples_cut, examples_dropped, validation_examples, and those of pretraining without baselines;
validation_loss_before is the base model's, on the same answers. facts: checkpoint, model, tokenizer_digest, steps.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.errors import ContractError, InputError
from ..core.files import sha256_file
from ..core.recipe import Recipe
from ..core.stage import Stage, StageContext, StageResult, sections
from .pretrain_stage import result_settings, rounding

if TYPE_CHECKING:
    from ..tokenize.bpe import Tokenizer
    from .job import Job


def config_of(recipe: Recipe) -> dict[str, Any]:
    """What the weights depend on."""
    return {"finetune": result_settings(recipe.finetune), **sections("seed")(recipe), **rounding(recipe)}


def check(ctx: StageContext) -> None:
    """The tokenizer is the one that the model was trained with."""
    from ..tokenize.bpe import Tokenizer

    tokenizer = Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json")
    made_with = ctx.inputs["pretrain"].facts["tokenizer_digest"]
    if made_with != tokenizer.digest:
        raise ContractError(
            f"the model was trained with the tokenizer {made_with}, but this one is {tokenizer.digest}",
            f"bring the run up to date: {ctx.run.command}",
        )


def work(ctx: StageContext) -> StageResult:
    from ..core.manifest import file_entry
    from ..tokenize.bpe import Tokenizer
    from ..tokenize.given import spoken_template
    from .examples import write_examples
    from .launcher import launch
    from .outcome import result

    tokenizer = Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json")
    context = ctx.inputs["pretrain"].facts["model"]["context"]
    pairs, examples = ctx.input_folder("instructions"), ctx.folder / "examples"
    template = spoken_template(ctx.input_folder("tokenizer"), tokenizer)
    counts = write_examples(pairs / "pairs.jsonl", examples / "train.arrow", tokenizer, context, template)
    held_out = write_examples(
        pairs / "pairs_validation.jsonl", examples / "validation.arrow", tokenizer, context, template
    )
    if not counts["examples"]:
        raise InputError(
            f"{pairs / 'pairs.jsonl'} gives no example that fits model.context = {context}",
            "raise model.context, or leave fine-tuning out with instructions: null",
        )
    job = finetune_job(ctx, tokenizer, held_out["examples"] > 0)
    launch(job, ctx.recipe.resources, ctx.progress)
    counters = {
        "examples": counts["examples"],
        "examples_cut": counts["cut"],
        "examples_dropped": counts["dropped"],
        "validation_examples": held_out["examples"],
    }
    finished = result(job, counters)
    rows = {"train": counts["examples"], "validation": held_out["examples"]}
    files = [file_entry(ctx.folder, examples / f"{name}.arrow", number) for name, number in rows.items()]
    return StageResult([*finished.files, *files], finished.counters, finished.facts)


def finetune_job(ctx: StageContext, tokenizer: Tokenizer, validated: bool) -> Job:
    """What the workers are to do. Shape and precision are those of the pretrained model."""
    from ..model.config import ModelConfig
    from .examples import ChatDataset
    from .job import Job
    from .loop import Plan

    base, settings = ctx.inputs["pretrain"], ctx.recipe.finetune
    model = ModelConfig.from_dict(base.facts["model"])
    examples, parallel = ctx.folder / "examples", ctx.recipe.resources.parallel
    open_examples = partial(ChatDataset, context=model.context, whole=parallel.compile)
    return Job(
        folder=ctx.folder,
        model=model,
        plan=Plan.of(settings, ctx.recipe.seed, base.config["train"]["precision"]),
        optimizer=settings.optimizer,
        keep=settings.keep_checkpoints,
        keep_every=settings.keep_every,
        watching=ctx.recipe.watching,
        name=f"{ctx.recipe.name}/{ctx.folder.name}",
        open_data=partial(open_examples, examples / "train.arrow"),
        open_validation=partial(open_examples, examples / "validation.arrow") if validated else None,
        token_bytes=tokenizer.token_bytes(),
        tokenizer_digest=tokenizer.digest,
        data_digest=sha256_file(examples / "train.arrow"),
        recipe=config_of(ctx.recipe),
        initial=ctx.input_folder("pretrain") / base.facts["checkpoint"],
        validate_first=True,
        threads=ctx.recipe.resources.threads_per_worker,
        parallel=parallel,
    )


FINETUNE = Stage("finetune", ("tokenizer", "pretrain", "instructions"), config_of, work, check=check)
