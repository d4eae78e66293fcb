"""Stage `evaluate`: what the run's models know, by the tasks of the recipe's section `evaluate`.

It writes what evaluation.py says. counters: models, tasks, items (all models together), items_contaminated (of one
model), and the first figure of each, FIGURE.TASK.MODEL.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.recipe import Recipe
from ..core.settings_evaluate import Evaluate
from ..core.stage import Stage, StageContext, StageResult
from .asking import askings_while_training, check_evaluation, data_digests

if TYPE_CHECKING:
    from ..train.job import Probe

LEDGER = "decontaminate"


def evaluate_stage(models: tuple[str, ...], flagged: bool) -> Stage:
    """The stage for these stages' models; flagged: the recipe looks for evaluation items in its documents."""
    inputs = ("tokenizer", *models, *((LEDGER,) if flagged else ()))
    return Stage(
        "evaluate",
        inputs,
        _config,
        partial(_work, models),
        external=lambda recipe: data_digests(_section(recipe)),
        check=lambda context: check_evaluation(context.recipe),
    )


def make_probe(ctx: StageContext) -> tuple[int, Probe]:
    """For the stages `pretrain` and `finetune`: how often they look at the tasks of `evaluate.while_training`, and what
    looks.

    Raises InputError for items that the model in training could not score.
    """
    from .while_training import TaskProbe

    settings = _section(ctx.recipe)
    assert settings.while_training is not None
    asked = tuple(askings_while_training(settings))
    tokenizer = ctx.input_folder("tokenizer") / "tokenizer.json"
    probe = TaskProbe(asked, str(tokenizer), settings.batch_tokens)
    base = ctx.inputs.get("pretrain")  # fine-tuned: it may be an imported one
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
    from .contamination import contaminated_rows
    from .evaluation import evaluate_models
    from .models import trained_model
    from .tasks import task_named

    recipe, settings = ctx.recipe, _section(ctx.recipe)

    def flags(file: Path) -> set[int] | None:
        if LEDGER not in ctx.inputs:
            return None
        return contaminated_rows(ctx.input_folder(LEDGER), recipe.decontaminate.sets, file)

    found = [trained_model(ctx.run, name, ctx.inputs[name]) for name in models]
    data = data_digests(settings)
    results, files = evaluate_models(found, settings, data, ctx.folder, recipe.resources, ctx.progress, flags)
    first = {name: task_named(name).figures[0] for name in settings.tasks}
    shown = [one for one in results if one.part == "all" and one.figure == first[one.task]]
    counters: dict[str, float | int] = {
        "models": len(found),
        "tasks": len(settings.tasks),
        "items": sum(one.items for one in shown),
        "items_contaminated": sum(
            one.items
            for one in results
            if one.part == "contaminated" and one.figure == first[one.task] and one.model == found[0].name
        ),
    }
    counters |= {f"{one.figure}.{one.task}.{one.model}": one.value for one in shown}
    return StageResult(files, counters)
