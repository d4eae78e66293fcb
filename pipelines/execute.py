"""Bring a run's stages up to date and say what happened: what stands behind `crawl2chat run` and its parts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from ..core.banding import collision_probability
from ..core.errors import Crawl2ChatError
from ..core.files import remove_partials
from ..core.log import log, log_to_folder
from ..core.progress import console
from ..core.recipe import Recipe
from ..core.remote_path import RemotePath
from ..core.run import Run
from ..core.runner import bring_up_to_date, check_planned
from ..core.session import ray_session
from ..core.stage import Planned, Stage
from ..evaluate.asking import check_evaluation
from ..tune.checks import check_sweep
from .decontaminate_sets import check_sets
from .language import check_language
from .refine_inputs import check_refinement
from .run_report import keep_report
from .sources.paths import check_sources
from .stages import plan_group


def execute(run: Run, stages: Sequence[Stage]) -> list[str]:
    """Run what is not up to date. Returns the names of the stages that ran. User errors come before any worker."""
    planned = plan_group(stages, run)
    if not any(item.todo for item in planned):
        with run.lock():
            run.write_recipe()
        console.print(f"{run.folder}: all {len(planned)} stages are up to date, nothing to do", soft_wrap=True)
        return []
    check_inputs(run.recipe)
    ran = []
    with run.lock():
        if isinstance(run.folder, RemotePath):
            remove_partials(run.folder)  # uploads of killed commands, of whatever stage: nobody else works on the run
        before = run.written_recipe()
        run.write_recipe()
        log_to_folder(run.folder / "logs")
        console.print(f"run {run.recipe.name} in {run.folder}", soft_wrap=True)
        names = [stage.name for stage in stages]
        try:
            with run.events.of_command(names), keep_report(run, names) as report:
                session = partial(ray_session, run.recipe.resources, run.folder / "logs")
                for item, _ in bring_up_to_date(stages, run, session, report.at_work):
                    if item.todo:
                        ran.append(item.stage.name)
                    else:
                        console.print(f"  {item.stage.name:<12} up to date")
                    report.done(item.stage.name, item.todo)
        except Crawl2ChatError as error:
            if error.exit_code == 2 and before is not None and not ran:
                run.write_recipe(before)  # settings that were refused are not the run's
            raise
        log.info("done: %s", ", ".join(ran))
    return ran


def check_inputs(recipe: Recipe) -> None:
    """Raise the error of the first input or setting that a stage could not work with."""
    check_sources(recipe)
    check_sets(recipe)
    check_language(recipe.language)
    check_refinement(recipe)
    check_sweep(recipe)
    check_evaluation(recipe)
    if recipe.tokenizer.files is not None:
        from ..tokenize.gpt2_files import check_files  # here: few recipes have such files

        check_files(recipe.tokenizer.files)


def dry_run(run: Run, stages: Sequence[Stage]) -> None:
    """Print what `execute` would do. Raises the errors that it raises before any worker."""
    planned = plan_group(stages, run)
    if any(item.todo for item in planned):
        check_inputs(run.recipe)
        check_planned(planned, run)
    print_plan(planned)
    if any(item.todo and item.stage.name == "dedup" for item in planned):
        _print_curve(*run.recipe.dedup.banding)


def _print_curve(bands: int, rows: int) -> None:
    """What deduplication would find: the S-curve in a line."""
    found = (f"{s}: {collision_probability(s, bands, rows):.4g}" for s in (0.5, 0.6, 0.7, 0.8, 0.9))
    console.print(
        f"  dedup: {bands} bands × {rows} rows find a pair of similarity … with probability …: {', '.join(found)}",
        soft_wrap=True,
        highlight=False,
    )


def print_plan(planned: Sequence[Planned]) -> None:
    """What each stage would do, a line each."""
    for item in planned:
        mark = item.fingerprint[:12] if item.fingerprint else "-" * 12
        verdict = "would run" if item.todo else "up to date"
        console.print(
            f"  {item.stage.name:<12} {mark}  {verdict}{f': {item.why}' if item.todo else ''}", soft_wrap=True
        )
