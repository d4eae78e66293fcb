"""The verb `crawl2chat evaluate`: the stage of a run, and models from elsewhere on the same tasks."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .data_verbs import Verb
from .option_types import at_least, numbers

if TYPE_CHECKING:
    from ..core.run import Run
    from ..core.settings_evaluate import Evaluate
    from ..evaluate.results import Result

EXAMPLES = """\
  crawl2chat evaluate --run runs/tiny --tasks hellaswag,piqa --data data --limit 500
  crawl2chat evaluate --model tiny-hf --tasks mmlu --data data --shots 5
"""


def add_evaluate_verbs(verb: Verb) -> None:
    """`verb(name, about, function)` adds a parser to the command line."""
    parser = verb("evaluate", "what models know: tasks with known answers, with intervals and chance", _run)
    parser.add_argument("recipe", nargs="?", help="a YAML file, or the name of a shipped recipe")
    parser.add_argument("--run", metavar="R", help="instead of a recipe: the folder of a run, with the recipe in it")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        type=Path,
        metavar="FOLDER",
        help="instead of the run's models: what `crawl2chat import` or `export` wrote; repeatable",
    )
    parser.add_argument("--tasks", metavar="T,U", help="names with commas between; by default the recipe's")
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="with the tasks' files; by default the recipe's")
    parser.add_argument(
        "--shots", type=numbers, metavar="N", help="solved examples before each question; 0,5: asked with each number"
    )
    parser.add_argument(
        "--chat", action="store_true", help="ask models that have a chat template in it, with the examples as turns"
    )
    parser.add_argument("--limit", type=at_least(1), metavar="N", help="items of a task, spread over its subjects")
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="with --model: for records and tables (evaluations/NAME)"
    )
    parser.add_argument("--json", action="store_true", help="a JSON list on the last line, besides the table")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value of the recipe; repeatable"
    )
    parser.add_argument("--dry-run", action="store_true", help="print what would run, and why")


def _run(options: argparse.Namespace) -> int:
    from ..evaluate.results import print_results

    results = _of_folders(options) if options.model else _of_run(options)
    if results is None:
        return 0
    print_results(results)
    if options.json:
        print(json.dumps([one.model_dump(mode="json") for one in results]))
    return 0


def _of_run(options: argparse.Namespace) -> list[Result] | None:
    """Bring the run's stage up to date; None after a dry run."""
    from ..core.errors import RecipeError
    from ..evaluate.asking import check_evaluation
    from ..evaluate.results import read_results
    from .execute import dry_run, execute
    from .stages import group_stages

    if options.out is not None:
        raise RecipeError("--out goes with --model", "leave it out: a run's results are in its folder, in evaluate/")
    run = _open(options)
    check_evaluation(run.recipe)
    stages = group_stages(run.recipe, "evaluate")
    if options.dry_run:
        dry_run(run, stages)
        return None
    execute(run, stages)
    return read_results(run.stage("evaluate"))


def _of_folders(options: argparse.Namespace) -> list[Result] | None:
    """Evaluate models outside of any run; again, it goes on with what is missing."""
    from ..core.errors import InputError
    from ..core.log import log
    from ..core.progress import Progress
    from ..core.session import ray_session
    from ..core.settings_training import Resources
    from ..evaluate.asking import check_tasks, data_digests
    from ..evaluate.contamination import flags_of
    from ..evaluate.evaluation import evaluate_models
    from ..evaluate.models import model_in

    run = _open(options) if options.run or options.recipe else None
    settings = _section(run, options)
    check_tasks(settings)
    models = [model_in(folder) for folder in options.model]
    names = [one.name for one in models]
    if len(set(names)) < len(names):
        raise InputError(f"two models have the name {max(names, key=names.count)}", "give one folder another name")
    out = options.out or (run.folder if run else Path()) / "evaluations" / "-".join(names)
    if options.dry_run:
        print(f"would evaluate {', '.join(names)} on {', '.join(settings.tasks)}, into {out}")
        return None
    resources = run.recipe.resources if run else Resources()
    with ray_session(resources, out / "logs"), Progress("evaluate") as progress:
        results, _ = evaluate_models(models, settings, data_digests(settings), out, resources, progress, flags_of(run))
    log.info("records and tables: %s", out)
    return results


def _open(options: argparse.Namespace) -> Run:
    """The run that --run or the recipe names, with the values that the options set."""
    from ..core.errors import RecipeError
    from ..core.recipe import load_recipe
    from ..core.run import Run

    if (options.recipe is None) == (options.run is None):
        raise RecipeError(
            "give a recipe or --run FOLDER, one of the two",
            "for example: crawl2chat evaluate --run runs/tiny --tasks piqa --data data; or --model FOLDER",
        )
    given = [*options.set, *(f"evaluate.{key}={json.dumps(value)}" for key, value in _given(options).items())]
    return Run.open(options.run, tuple(given)) if options.run else Run(load_recipe(options.recipe, given))


def _section(run: Run | None, options: argparse.Namespace) -> Evaluate:
    """The recipe's section, or one that the options make. Raises RecipeError where they do not."""
    from pydantic import ValidationError

    from ..core.errors import RecipeError
    from ..core.recipe import absolute_path
    from ..core.settings_evaluate import Evaluate

    if run is not None and run.recipe.evaluate is not None:
        return run.recipe.evaluate
    if options.tasks is None:
        raise RecipeError("no tasks are named", "give --tasks, for example --tasks mmlu,hellaswag")
    if options.set and run is None:
        raise RecipeError("--set is of a recipe, and there is none", "give a recipe or --run with it")
    try:
        return Evaluate.model_validate(_given(options)).rooted(absolute_path)
    except ValidationError as error:
        raise RecipeError(error.errors()[0]["msg"].removeprefix("Value error, "), "correct the options") from error


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """What the options say of the section."""
    tasks: Sequence[str] | None = options.tasks and [one.strip() for one in options.tasks.split(",") if one.strip()]
    found = {"tasks": tasks, "data": options.data and str(options.data.absolute())}
    found |= {"shots": options.shots, "limit": options.limit, "chat": options.chat or None}
    return {key: value for key, value in found.items() if value is not None}
