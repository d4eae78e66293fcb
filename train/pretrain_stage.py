"""Stage `pretrain`: the model of the recipe, trained on the token shards.

    checkpoints/step_NNNNNN/    the newest `train.keep_checkpoints` (train/checkpoints.py)
    metrics.jsonl, tensorboard/    (train/metrics.py)
    events.jsonl, course.jsonl    spikes; starts and checkpoints (train/events.py, train/course.py)
    samples.jsonl    how sampling.prompts are continued after each validation (train/along.py)
    verified/    which shards were read whole and found right (train/verify.py)

With `shards.early` it begins on the output of `shards_early`, which also validates it, while `shards` is at work still
(train/early.py). It knows `shards` by its fingerprint then, as does the digest of the data in its checkpoints.

counters: steps, parameters, tokens_seen, train_loss, tokens_per_second, validation_loss (nats per token),
bits_per_byte, baseline_unigram_bpb, baseline_gzip_bpb. facts: checkpoint, model, tokenizer_digest, steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import InputError
from ..core.files import digest, sha256_file
from ..core.manifest import Manifest
from ..core.recipe import Recipe
from ..core.remote_path import path_of
from ..core.settings_alignment import Align
from ..core.settings_training import Finetune, Mixture, ShardCache, Train
from ..core.stage import Stage, StageContext, StageResult, sections

if TYPE_CHECKING:
    from ..tokenize.bpe import Tokenizer
    from .early import Late
    from .job import Job, Probe

    MakeProbe = Callable[[StageContext], tuple[int, Probe]]  # steps between two looks at the model, and what looks

EARLY = "shards_early"
COUNTERS = 64  # tasks, at most, that count tokens


def config_of(recipe: Recipe) -> dict[str, Any]:
    """What the weights depend on; how often a run is logged, validated and saved is not among it."""
    mixed = ("mixture",) if recipe.mixture is not None else ()
    found = {"train": result_settings(recipe.train), **sections("seed", "model", *mixed)(recipe), **rounding(recipe)}
    if found["model"]["transfer"] is None:  # models trained before there was the key need not be trained again
        del found["model"]["transfer"]
    return found


def result_settings(section: Train | Finetune | Align) -> dict[str, Any]:
    pace = {"log_every", "validate_every", "checkpoint_every", "keep_checkpoints", "keep_every"}
    if section.guard.policy == "rewind":  # it goes back to a checkpoint: then the weights depend on where they lie
        pace.remove("checkpoint_every")
    return section.model_dump(mode="json", exclude=pace)


def rounding(recipe: Recipe) -> dict[str, Any]:
    """What is rounded to bfloat16: the strategy says. In float32 strategies differ by the order of sums alone."""
    return {"bf16": recipe.resources.parallel.bf16} if recipe.train.precision == "bf16" else {}


def branched_from(recipe: Recipe) -> dict[str, str]:
    """Identity of the checkpoint that a branch goes on from: meta.json lists its files' digests."""
    if recipe.train.branch_from is None:
        return {}
    path = path_of(recipe.train.branch_from) / "meta.json"
    return {str(path): sha256_file(path) if path.is_file() else "absent"}


def check(ctx: StageContext) -> None:
    """Tokenizer, shards and context fit together."""
    from ..tokenize.bpe import Tokenizer
    from ..tokenize.shards import check_tokenizer
    from .mixture import open_rows

    shards, folder = _first_shards(ctx)
    early = "raise shards.early, or " if EARLY in ctx.inputs else ""
    check_tokenizer(shards, Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json"))
    try:
        open_rows(shards.paths(folder, "train/"), ctx.recipe.model.context, ctx.recipe.mixture)
    except InputError as error:
        raise InputError(error.message, f"{early}{error.fix}") from error
    if not shards.paths(folder, "validation/"):
        raise InputError(
            "no document fell into the validation split, so no model can be judged",
            f"{early}raise shards.validation_share, or give more documents",
        )


def _first_shards(ctx: StageContext) -> tuple[Manifest, Path]:
    """Those that training begins on, and that validate it."""
    name = EARLY if EARLY in ctx.inputs else "shards"
    return ctx.inputs[name], ctx.input_folder(name)


def late_shards(early: Manifest, folder: Path, mark: str, cache: ShardCache | None = None) -> Late:
    """The others, which the stage `shards` puts into its folder with the fingerprint `mark`."""
    from .early import Late

    return Late(folder, mark, frozenset(path.name for path in early.paths(folder, "train/")), cache)


def work(ctx: StageContext, probe: MakeProbe | None = None) -> StageResult:
    from ..tokenize.bpe import Tokenizer
    from .launcher import launch
    from .outcome import result

    tokenizer = Tokenizer.load(ctx.input_folder("tokenizer") / "tokenizer.json")
    job = looking(pretrain_job(ctx, tokenizer), ctx, probe)
    launch(job, ctx.recipe.resources, ctx.progress)
    return result(job, baselines(ctx, tokenizer))


def looking(job: Job, ctx: StageContext, probe: MakeProbe | None) -> Job:
    """The job, which looks at its model now and then where there is a `probe`."""
    if probe is None:
        return job
    every, look = probe(ctx)
    return replace(job, plan=replace(job.plan, probe_every=every), probe=look)


def baselines(ctx: StageContext, tokenizer: Tokenizer) -> dict[str, float]:
    """What the model has to beat. It takes a pass over all tokens, in Ray's tasks: never before training starts."""
    import numpy as np
    import ray

    from .baselines import gzip_bits_per_byte, token_counts, unigram_bits_per_byte

    train, size = ctx.input("shards").paths(ctx.input_folder("shards"), "train/"), tokenizer.vocab_size
    first, folder = _first_shards(ctx)
    validation = first.paths(folder, "validation/")
    parts = min(len(train), COUNTERS)
    count = ray.remote(num_cpus=1, resources=ctx.recipe.resources.train_place)(token_counts)  # a node is up there
    count = count.options(name=f"{ctx.progress.stage}.token_counts")
    counted = ray.get([count.remote(train[part::parts], size) for part in range(parts)])
    held_out = token_counts(validation, size)
    return {
        "baseline_unigram_bpb": unigram_bits_per_byte(np.sum(counted, axis=0), held_out, tokenizer.token_bytes()),
        "baseline_gzip_bpb": gzip_bits_per_byte(validation, tokenizer.decode_bytes),
    }


def pretrain_job(ctx: StageContext, tokenizer: Tokenizer) -> Job:
    """What the workers are to do."""
    from ..model.config import ModelConfig
    from .along import Along
    from .branch import open_branch
    from .early import OpenEarly
    from .job import Job
    from .loop import Plan
    from .mixture import OpenRows
    from .validation import validation_by_source

    recipe, (shards, folder) = ctx.recipe, _first_shards(ctx)
    context, settings, prompts = recipe.model.context, recipe.train, recipe.sampling.prompts
    train, validation = shards.paths(folder, "train/"), shards.paths(folder, "validation/")
    model = ModelConfig.from_settings(recipe.model, tokenizer.vocab_size)
    rows: OpenRows | OpenEarly = OpenRows(train, context, recipe.mixture)
    late = ctx.input_folder("shards") if ctx.late else None
    if late is not None:
        others = late_shards(shards, late, ctx.late["shards"], recipe.resources.shard_cache)
        rows = OpenEarly(train, others, context)
    return Job(
        folder=ctx.folder,
        model=model,
        branch=open_branch(settings, recipe.seed, model.to_dict(), tokenizer.digest, rounding(recipe)),
        plan=Plan.of(settings, recipe.seed, settings.precision, settings.micro_batch),
        optimizer=settings.optimizer,
        keep=settings.keep_checkpoints,
        keep_every=settings.keep_every,
        watching=recipe.watching,
        name=f"{recipe.name}/{ctx.folder.name}",
        open_data=rows,
        open_validation=partial(validation_by_source, validation, context, tokenizer.end_of_text),
        token_bytes=tokenizer.token_bytes(),
        tokenizer_digest=tokenizer.digest,
        data_digest=data_digest(shards, recipe.mixture, ctx.late.values()),
        recipe=config_of(recipe),
        along=Along(tuple(prompts), tokenizer, context) if prompts else None,
        shards={folder / entry.path: entry.sha256 for entry in shards.files if entry.path.startswith("train/")},
        threads=recipe.resources.threads_per_worker,
        document_begin=tokenizer.end_of_text if settings.document_mask else None,
        parallel=recipe.resources.parallel,
        shard_cache=recipe.resources.shard_cache,
        late=late,
    )


def data_digest(shards: Manifest, mixture: Mixture | None, late: Iterable[str] = ()) -> str:
    """Identity of the training tokens and their order. `late`: fingerprints of what comes behind these shards."""
    files = [entry.sha256 for entry in sorted(shards.files, key=lambda e: e.path) if entry.path.startswith("train/")]
    return digest([*files, *([mixture.model_dump(mode="json")] if mixture else []), *({"late": one} for one in late)])


def training_workers(recipe: Recipe) -> dict[str, float]:
    """The processors that a training holds."""
    return recipe.resources.training


PRETRAIN = Stage(
    "pretrain", ("tokenizer", "shards"), config_of, work,
    external=branched_from, check=check, holds=training_workers,
)  # fmt: skip


def pretrain_early(shards: Stage) -> Stage:
    """The stage where the recipe gives `shards.early`; `shards`: the stage of that name, as the recipe has it."""
    return replace(PRETRAIN, inputs=("tokenizer", EARLY, shards.name), late=(shards,))
