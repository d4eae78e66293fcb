"""A crawl as Ray actors: one Schedule, `workers` Fetchers. The only module here that imports Ray."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.actor import ActorHandle
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from ....core.errors import StageError
from ....core.log import log
from ....core.placement import data_task
from ....core.progress import Progress
from ....core.settings_data import CrawlSource
from .fetch import Fetcher
from .messages import Orders, Report, Status
from .schedule import Schedule

MAX_DEATHS = 5  # of fetchers in one crawl, before it counts as failed
LOOK_S = 0.5


class FetchActor:
    """A Fetcher in a process of its own, which asks the schedule's actor."""

    def __init__(self, name: str, fetcher_options: dict[str, Any]) -> None:
        self._name, self._options = name, fetcher_options

    async def run(self, schedule: ActorHandle) -> None:
        """Work until the crawl is over."""

        async def ask(reports: list[Report], want: int) -> Orders:
            return await schedule.exchange.remote(self._name, reports, want)  # type: ignore[attr-defined]

        await Fetcher(**self._options).run(ask)


def run_actors(
    source: CrawlSource,
    seeds: list[str],
    connect_to: Mapping[str, tuple[str, int]],
    folder: Path,
    progress: Progress,
    here: bool = False,
) -> None:
    """Crawl until the schedule says that it is over. A fetcher that dies is replaced, and its jobs are done again.

    `here`: the folder is on this machine's disk alone.
    """
    this = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    schedule: Any = (
        ray.remote(Schedule)
        .options(num_cpus=0, scheduling_strategy=this)
        .remote(source, seeds, folder / "frontier.sqlite")
    )
    # Fetchers of a site that this process serves must run on its machine. Waiting takes no CPU, so they claim none.
    there: Any = (
        {"scheduling_strategy": this} if connect_to or here else {"scheduling_strategy": "SPREAD"} | data_task()
    )
    make = ray.remote(FetchActor).options(num_cpus=0, **there)
    options = {
        "source": source,
        "seeds": seeds,
        "segments": folder / "segments",
        "slots": math.ceil(source.concurrency / source.workers),
        "connect_to": dict(connect_to),
    }
    names = iter(f"fetcher-{number}" for number in range(source.workers + MAX_DEATHS))
    running: dict[ray.ObjectRef, tuple[str, Any]] = {}

    def start() -> None:
        name = next(names, None)
        if name is None:
            raise StageError(f"{MAX_DEATHS} fetchers of source {source.name} died", "see the Ray logs of the run")
        actor = make.remote(name, options)
        running[actor.run.options(name=f"{progress.stage}.{source.name}.{name}").remote(schedule)] = (name, actor)

    try:
        shown: Status = ray.get(schedule.status.remote())
        progress.start(source.max_pages, done=shown.pages, counting="pages")
        for _ in range(source.workers):
            start()
        while running:
            done, _ = ray.wait(list(running), num_returns=1, timeout=LOOK_S)
            for reference in done:
                name, _actor = running.pop(reference)
                if not _ended_well(reference, name):
                    ray.get(schedule.release.remote(name))
                    start()
            now: Status = ray.get(schedule.status.remote())
            note = f"{now.bytes / 1e6:.1f} MB, {now.waiting} waiting"
            progress.advance(now.pages - shown.pages, now.pages - shown.pages, note)
            progress.count("crawl2chat_documents_total", now.pages - shown.pages)
            shown = now
        ray.get(schedule.close.remote())
    except RayError as error:
        cause = getattr(error, "cause", None) or error
        raise StageError(
            f"the crawl of source {source.name} broke off: {type(cause).__name__}: {cause}",
            "the same command continues it; the cause stands in the Ray logs of the run",
        ) from error
    finally:
        for _, actor in running.values():
            ray.kill(actor)
        ray.kill(schedule)


def _ended_well(reference: ray.ObjectRef, name: str) -> bool:
    """Whether a fetcher worked to the end; False when its process died. Errors of its code are raised."""
    try:
        ray.get(reference)
    except RayTaskError:
        raise
    except RayActorError as error:
        log.warning("%s died: %s", name, error)
        return False
    return True
