"""Stage `evaluate`: what the run's models know, by the tasks of the recipe's section `evaluate`.

It writes what evaluation.py says. counters: models, tasks, items (all models together), items_contaminated (of one
model), and the first figure of each, FIGURE.TASK.MODEL.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.recipe import Recipe
from ..core.settings_evaluate import Evaluate
from ..core.stage import Stage, StageContext, StageResult
from .asking import askings_while_training, check_evaluation, data_digests

if TYPE_CHECKING:
    from ..train.job import Probe
    from .results import Result

LEDGER = "decontaminate"
VERSION = 2  # 1: answers of fine-tuned models ended at the end of a text alone


def evaluate_stage(models: tuple[str, ...], flagged: bool) -> Stage:
    """The stage for these stages' models; flagged: the recipe looks for evaluation items in its documents."""
    inputs = ("tokenizer", *models, *((LEDGER,) if flagged else ()))
    return Stage(
        "evaluate",
        inputs,
        _config,
        partial(_work, models),
        version=VERSION,
        external=lambda recipe: data_digests(_section(recipe)),
        check=lambda context: check_evaluation(context.recipe),
    )


def make_probe(ctx: StageContext) -> tuple[int, Probe]:
    """For the stages that train a model: how often they look at the tasks of `evaluate.while_training`, and what looks.

    Raises InputError for items that the model in training could not score.
    """
    from .while_training import TaskProbe

    settings = _section(ctx.recipe)
    assert settings.while_training is not None
    asked = tuple(askings_while_training(settings))
    tokenizer = ctx.input_folder("tokenizer") / "tokenizer.json"
    probe = TaskProbe(asked, str(tokenizer), settings.batch_tokens)
    base = ctx.inputs.get("pretrain")  # of what is trained on: it may be an imported one
    probe.check(base.facts["model"]["context"] if base else ctx.recipe.model.context)
    return settings.while_training.every, probe


def _config(recipe: Recipe) -> dict[str, Any]:
    """What the figures depend on; the tasks' files stand for themselves, wherever they lie."""
    elsewhere = {"data", "files", "examples", "while_training"}
    return {"evaluate": _section(recipe).model_dump(mode="json", exclude=elsewhere)}


def _section(recipe: Recipe) -> Evaluate:
    assert recipe.evaluate is not None, "the stage exists where the section does"
    return recipe.evaluate


def _work(models: tuple[str, ...], ctx: StageContext) -> StageResult:
    from .contamination import flags_of
    from .evaluation import evaluate_models
    from .models import trained_model

    settings = _section(ctx.recipe)
    found = [trained_model(ctx.run, name, ctx.inputs[name]) for name in models]
    data, flags = data_digests(settings), flags_of(ctx.run)
    results, files = evaluate_models(found, settings, data, ctx.folder, ctx.recipe.resources, ctx.progress, flags)
    return StageResult(files, _counters(settings, results, len(found)))


def _counters(settings: Evaluate, results: Sequence[Result], models: int) -> dict[str, float | int]:
    """Those of the module's docstring; a task that was asked with several numbers of shots has TASK_SHOTS for TASK."""
    from .tasks import task_named

    first = {name: task_named(name).figures[0] for name in settings.tasks}
    shown = [one for one in results if one.figure == first[one.task]]
    asked = [one for one in shown if one.part == "all"]
    flagged = [one for one in shown if one.part == "contaminated" and one.model == asked[0].model]

    def label(one: Result) -> str:
        return f"{one.task}_{one.shots}" if len(settings.shots_of(one.task)) > 1 else one.task

    return {
        "models": models,
        "tasks": len(settings.tasks),
        "items": sum(one.items for one in asked),
        "items_contaminated": sum({one.task: one.items for one in flagged}.values()),
        **{f"{one.figure}.{label(one)}.{one.model}": one.value for one in asked},
    }
