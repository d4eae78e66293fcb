"""Bring a run's stages up to date and say what happened: what stands behind `crawl2chat run` and its parts."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.log import log, log_to_folder
from ..core.progress import console
from ..core.run import Run
from ..core.session import ray_session
from ..core.stage import Planned, Stage, bring_up_to_date
from .decontaminate_sets import check_sets
from .language import check_language
from .refine_inputs import check_refinement
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
    check_sources(run.recipe)
    check_sets(run.recipe)
    check_language(run.recipe.language)
    check_refinement(run.recipe)
    ran = []
    with run.lock():
        run.write_recipe()
        log_to_folder(run.folder / "logs")
        console.print(f"run {run.recipe.name} in {run.folder}", soft_wrap=True)
        for item, _ in bring_up_to_date(stages, run, lambda: ray_session(run.recipe.resources, run.folder / "logs")):
            if item.todo:
                ran.append(item.stage.name)
            else:
                console.print(f"  {item.stage.name:<12} up to date")
        log.info("done: %s", ", ".join(ran))
    return ran


def dry_run(planned: Sequence[Planned]) -> None:
    """Print what each stage would do."""
    for item in planned:
        mark = item.fingerprint[:12] if item.fingerprint else "-" * 12
        verdict = "would run" if item.todo else "up to date"
        console.print(
            f"  {item.stage.name:<12} {mark}  {verdict}{f': {item.why}' if item.todo else ''}", soft_wrap=True
        )
