"""All stages of a run, in the order the data takes, and the groups that a command of its own runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from ..chat.samples_stage import samples_stage
from ..core.documents import ledger_stages
from ..core.errors import ContractError, RecipeError
from ..core.recipe import Recipe
from ..core.run import Run
from ..core.stage import Planned, Stage, StageResult, plan, taken_back
from ..dedup.dedup_stage import DEDUP
from ..dedup.spans_stage import SPANS
from ..evaluate.evaluate_stage import evaluate_stage, make_probe
from ..tokenize.tokenize_stage import SHARDS, SHARDS_EARLY, TOKENIZER
from ..train.align_stage import align_stage
from ..train.align_stage import work as align
from ..train.base_stage import BASE_MODEL, BASE_TOKENIZER
from ..train.finetune_stage import finetune_stage
from ..train.finetune_stage import work as fine_tune
from ..train.pretrain_stage import PRETRAIN, pretrain_early
from ..train.pretrain_stage import work as train_base
from ..tune.forecast_stage import FORECAST
from ..tune.tune_stage import TUNE
from ..tune.verify_stage import VERIFY
from .decontaminate_stage import DECONTAMINATE
from .extract_stage import EXTRACT
from .instructions_stage import INSTRUCTIONS
from .paragraphs_stage import PARAGRAPHS
from .sources.crawl.crawl_stage import CRAWL

GROUPS = {
    "data": ("crawl", "extract", "dedup", "spans", "paragraphs", "decontaminate"),
    "tokenizer": ("tokenizer", "shards_early", "shards"),
    "pretrain": ("pretrain",),
    "finetune": ("instructions", "finetune"),
    "align": ("align",),
    "evaluate": ("evaluate",),
    "tune": ("tune", "forecast"),
    "tune verify": ("verify",),
}
MODELS = ("pretrain", "finetune", "align")  # stages that put out a model
SEARCH = ("tune", "tune verify")  # groups that are no part of `crawl2chat run`
LEFT_OUT = {  # why a recipe has none of a group's stages, and the fix
    "finetune": ("instructions: null", "add instructions: {source: NAME}, or finetune.data: {paths: [FILE]}"),
    "align": ("no section align", "add align: {data: {paths: [FILE]}}, or align: {data: {from_instructions: true}}"),
    "evaluate": ("no evaluate.tasks", "give --tasks and --data, or add evaluate: {tasks: [hellaswag], data: FOLDER}"),
    "tune": ("a base, which is pretrained already", "leave base out"),
    "data": ("a base, and no instructions", "add instructions: {source: NAME}, or leave base out"),
    "tune verify": ("no tune.target", "add tune.ladder, and tune.target: {row: NAME, tokens: N}"),
}


def all_stages(recipe: Recipe) -> list[Stage]:
    """Every stage that this recipe has, inputs before those that need them."""
    answers = [INSTRUCTIONS] if recipe.instructions is not None else []
    answers += [_looking(finetune_stage(recipe), fine_tune, recipe)] if recipe.finetuned else []
    if recipe.align is not None:  # a reward model gives no probabilities: tasks cannot be asked
        answers.append(_looking(align_stage(recipe), align, recipe) if recipe.align.answers else align_stage(recipe))
    ledgers = [stage for stage in (DEDUP, SPANS, PARAGRAPHS, DECONTAMINATE) if stage.name in ledger_stages(recipe)]
    if recipe.base is not None:  # nothing is pretrained, and documents are read for instruction pairs alone
        data = [CRAWL, EXTRACT, *ledgers] if recipe.instructions is not None else []
        trained = [BASE_MODEL, *answers]
        given = [BASE_TOKENIZER, *trained, *_evaluation(recipe, trained), samples_stage(recipe)]
        return [_behind_ledgers(stage, recipe) for stage in (*data, *given)]
    early = recipe.shards.early is not None
    pretrain = pretrain_early(_behind_ledgers(SHARDS, recipe)) if early else PRETRAIN
    trained = [_looking(pretrain, train_base, recipe), *answers]
    shards = [SHARDS_EARLY, SHARDS] if early else [SHARDS]
    learning = [TOKENIZER, *shards, *trained, *_evaluation(recipe, trained), samples_stage(recipe), TUNE]
    learning += [FORECAST] if recipe.tune.ladder is not None else []
    learning += [VERIFY] if recipe.tune.target is not None else []
    return [_behind_ledgers(stage, recipe) for stage in (CRAWL, EXTRACT, *ledgers, *learning)]


def _evaluation(recipe: Recipe, trained: Sequence[Stage]) -> list[Stage]:
    """The stage `evaluate`, if the recipe has it. Raises RecipeError where it names a model that is not made."""
    if recipe.evaluate is None:
        return []
    rewards = recipe.align is not None and not recipe.align.answers
    if rewards and "align" in recipe.evaluate.models:
        raise RecipeError(
            "evaluate.models names align, but align.method is reward: a reward model gives an answer a number, and no "
            "probability to its tokens",
            "take align out of evaluate.models, or set align.method: dpo",
        )
    if recipe.base is not None and recipe.evaluate.while_training is not None and not recipe.finetuned:
        raise RecipeError(
            "evaluate.while_training is given, but with a base, and nothing to fine-tune on, nothing is trained",
            "take it out of evaluate, or add finetune.data: {paths: [FILE]}",
        )
    made = [stage.name for stage in trained if stage.name in MODELS and not (rewards and stage.name == "align")]
    chosen = recipe.evaluate.models or made
    if absent := [name for name in chosen if name not in made]:
        raise RecipeError(f"evaluate.models names {absent[0]}, but this recipe trains {', '.join(made)}", "correct it")
    return [evaluate_stage(tuple(chosen), "decontaminate" in ledger_stages(recipe))]


def _looking(stage: Stage, work: Callable[..., StageResult], recipe: Recipe) -> Stage:
    """The stage, which does `work` to train a model, with a look at tasks now and then if the recipe wants one."""
    if recipe.evaluate is None or recipe.evaluate.while_training is None:
        return stage
    return replace(stage, work=partial(work, probe=make_probe))


def _behind_ledgers(stage: Stage, recipe: Recipe) -> Stage:
    """The stage with every ledger before it as an input, if it reads the documents that deduplication left."""
    if "dedup" not in stage.inputs:
        return stage
    ledgers = ledger_stages(recipe)
    before = ledgers[: ledgers.index(stage.name)] if stage.name in ledgers else ledgers
    return replace(stage, inputs=tuple(dict.fromkeys((*stage.inputs, *before))))


def run_stages(recipe: Recipe) -> list[Stage]:
    """The stages of `crawl2chat run`: all but the search and what comes of it."""
    left_out = {name for group in SEARCH for name in GROUPS[group]}
    return [stage for stage in all_stages(recipe) if stage.name not in left_out]


def sweep_stages(recipe: Recipe) -> list[Stage]:
    """The stages of `crawl2chat tune sweep`: from the sources to the verified forecast, without the recipe's model."""
    if recipe.base is not None:
        raise RecipeError(
            "the recipe has a base, which is pretrained already: there is nothing to search", "leave it out"
        )
    chosen = {name for group in ("data", "tokenizer", *SEARCH) for name in GROUPS[group]} - {SHARDS_EARLY.name}
    return [stage for stage in all_stages(recipe) if stage.name in chosen]


def group_stages(recipe: Recipe, group: str) -> list[Stage]:
    """The stages of one command. Raises RecipeError when the recipe leaves them out."""
    chosen = [stage for stage in all_stages(recipe) if stage.name in GROUPS[group]]
    if not chosen:
        why, fix = LEFT_OUT[group]
        raise RecipeError(f"the recipe has {why}, so there is nothing to {group}", fix)
    return chosen


def plan_group(stages: Sequence[Stage], run: Run) -> list[Planned]:
    """What each of `stages` would do. Raises ContractError when a stage that they build on is not up to date."""
    everything = plan(all_stages(run.recipe), run)
    chosen = {stage.name for stage in stages}
    needed = {name for stage in stages for name in stage.inputs} - chosen
    for item in everything:
        if item.stage.name in needed and item.todo:
            searched = item.stage.name in GROUPS["tune"]
            command = run.command.replace(" run", " tune", 1) if searched else run.command
            raise ContractError(
                f"stage {item.stage.name} in {run.folder} is not up to date: {item.why}",
                f"bring it up to date first, with the same --set values: {command}"
                + (f"\n  or keep what is finished: {options}" if (options := taken_back(item.stage, run)) else ""),
            )
    return [item for item in everything if item.stage.name in chosen]
