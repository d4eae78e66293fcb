"""Run a function over units on Ray Data: the one place where file-by-file stages meet Ray.

Rows that travel are unit specs and reports, a few hundred bytes each; the worker reads and writes files itself.
Datasets and tasks have names by which Ray's dashboard and job pages show the stage: STAGE.WORK.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

from . import errors
from .credentials import masked
from .errors import Crawl2ChatError, StageError
from .log import log
from .placement import data_cpus, data_task
from .progress import Progress
from .units import Unit, UnitReport, commit, finished, forget

UnitWork = Callable[[Unit, Path, dict[str, Any]], UnitReport]


def map_units(
    work: UnitWork,
    units: Sequence[Unit],
    folder: Path,
    config: dict[str, Any],
    progress: Progress,
    counting: str = "documents",
    records: str = "units",
    needs: dict[str, Any] | None = None,
) -> list[UnitReport]:
    """Do all units that are not done yet, each as one Ray task, and return every unit's report in the units' order.

    work(unit, folder, config) writes the unit's files below `folder`; it must be a function of an importable module.
    `counting` names the counter that the progress line shows as a rate, of what came in if that is counted too.
    `records` is the folder of what is done; `needs` what a task takes, as Ray's options; by default one CPU
    where data have their place.
    Raises StageError with the worker's message.
    """
    names = [unit.name for unit in units]
    assert len(set(names)) == len(names), "unit names must be distinct"
    reports = finished(folder, units, config, records)
    progress.start(len(units), done=len(reports), counting=counting)
    todo = [unit for unit in units if unit.name not in reports]
    forget(folder, todo, records)
    with closing(_run(work, todo, folder, config, records, needs, progress.stage)) as done:  # a stop ends Ray's tasks
        for report in done:
            reports[report.name] = report
            progress.count_unit(report.counters)
            progress.advance(1, report.counters.get(f"{counting}_in", report.counters.get(counting, 0)))
    missing = [name for name in names if name not in reports]
    if missing:
        raise StageError(
            f"{len(missing)} units gave no report, the first is {missing[0]}",
            "the workers' logs are in the run's logs/ray",
        )
    return [reports[name] for name in names]


def _run(
    work: UnitWork,
    todo: list[Unit],
    folder: Path,
    config: dict[str, Any],
    records: str,
    needs: dict[str, Any] | None,
    stage: str,
) -> Generator[UnitReport]:
    if not todo:
        return
    import ray.data  # here, not above: `run` of a finished recipe must not pay for importing Ray
    from ray.exceptions import RayError

    folder = folder.absolute()
    needs = data_task() if needs is None else needs

    def one(row: dict[str, Any]) -> dict[str, Any]:
        unit = Unit.model_validate_json(row["unit"])
        try:
            report = work(unit, folder, config)
            commit(folder, unit, config, report, records)
        except Exception as error:  # as data: Ray would wrap it, and lose class and message on the way
            return {"report": "", "error": pack_error(error), "trace": traceback.format_exc()}
        return {"report": report.model_dump_json(), "error": "", "trace": ""}

    specs = ray.data.from_items([{"unit": unit.model_dump_json()} for unit in todo], override_num_blocks=len(todo))
    dataset = specs.map(named(one, stage, work), **needs)
    dataset.set_name(one.__name__)
    if (most := data_cpus()) is not None:
        limits = dataset.context.execution_options.resource_limits
        dataset.context.execution_options.resource_limits = limits.copy(cpu=most)
    try:
        for row in dataset.iter_rows():
            if row["error"]:
                log.info("%s", row["trace"])
                raise unpack_error(row["error"])
            yield UnitReport.model_validate_json(row["report"])
    except RayError as error:
        raise gave_up(error) from error


def named(function: Any, stage: str, work: Callable[..., Any]) -> Any:
    """The function under the name STAGE.WORK, after what it does: Ray Data names its tasks by it."""
    while isinstance(work, partial):
        work = work.func
    function.__name__ = f"{stage}.{work.__name__}"
    return function


def gave_up(error: Exception) -> StageError:
    """What Ray raised, as one line of ours; the whole stands in the log."""
    log.info("%s", error)
    last = str(error).strip().splitlines()[-1] if str(error).strip() else ""
    return StageError(
        f"Ray gave up: {type(error).__name__}: {last}",
        "logs/ and logs/ray in the run's folder, or Ray's dashboard, tell why; the same command continues",
    )


def pack_error(error: Exception) -> str:
    """An error as text that travels, without credentials. Errors of ours keep their class; others become StageError."""
    if isinstance(error, Crawl2ChatError):
        return json.dumps([type(error).__name__, masked(error.message), masked(error.fix)])
    return json.dumps(["StageError", masked(f"a worker failed: {type(error).__name__}: {error}"), "logs/ tells where"])


def unpack_error(text: str) -> Crawl2ChatError:
    kind, message, fix = json.loads(text)
    return getattr(errors, kind)(message, fix)
