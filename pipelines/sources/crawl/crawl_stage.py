"""The stage `crawl`: crawl sources to WARC. Other sources do not touch it; without a crawl source it is empty.

    SOURCE/warc/SOURCE-00000.warc.gz …, SOURCE/other_answers.warc.gz, SOURCE/crawl_log.parquet    see finish.py
    SOURCE/frontier.sqlite, SOURCE/segments/     while the crawl is under way; of a run in an object store on the disk
                                                 of the command's machine, where all fetchers are then
    units/SOURCE.json                            this source is done

One schedule actor owns frontier and politeness, `workers` fetcher actors ask it for jobs. Everything that counts is in
the frontier's file and the segments: killed at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import shutil
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

from ....core.attempt import STARTED
from ....core.errors import StageError
from ....core.local_copies import work_folder
from ....core.log import log
from ....core.recipe import Recipe
from ....core.settings_data import CrawlSource
from ....core.stage import Stage, StageContext, StageResult
from ....core.units import Unit, UnitReport, commit, finished, total
from .finish import missing_segments, write_results
from .frontier import Frontier
from .served import Site, serve_pydoc
from .urls import canonical

# Settings that change how fast a crawl goes and what it costs its hosts, but not which pages it stores.
_PACE = {"workers", "concurrency", "per_host", "delay", "retry_wait"}
_FIXES = {
    "address": "set allow_private: true for this source, if the address is meant to be crawled",
    "robots": "choose other seeds: the site's robots.txt forbids these",
    "robots_unavailable": "try again later: the site's robots.txt could not be had, so nothing may be fetched",
    "content_type": "add the type to content_types",
    "tls": "correct the seed's host name, or crawl http://",
}


def _config(recipe: Recipe) -> dict[str, Any]:
    return {source.name: source.model_dump(mode="json", exclude=_PACE) for source in recipe.crawl_sources()}


def _work(context: StageContext) -> StageResult:
    sources = context.recipe.crawl_sources()
    config = _config(context.recipe)
    units = {source.name: Unit(name=source.name, spec=config[source.name]) for source in sources}
    reports = finished(context.folder, units.values(), {})
    for source in sources:
        folder = context.folder / source.name
        disk = work_folder(folder, context.folder / STARTED)
        if source.name not in reports:
            reports[source.name] = _crawl(source, folder, disk, context)
            commit(context.folder, units[source.name], {}, reports[source.name])
        _remove_traces(disk)
    ordered = [reports[source.name] for source in sources]
    return StageResult([entry for report in ordered for entry in report.files], dict(total(ordered)))


CRAWL = Stage("crawl", inputs=(), config=_config, work=_work)


def _crawl(source: CrawlSource, folder: Path, disk: Path, context: StageContext) -> UnitReport:
    """Crawl one source to its end, from the beginning or from where a killed attempt was.

    `disk` has the frontier and the segments: the folder itself, where that is not in an object store.
    """
    path = disk / "frontier.sqlite"
    if path.exists():
        frontier = Frontier(path)
        lost = missing_segments(frontier, disk / "segments")
        over = frontier.fact("over", "") != ""
        frontier.close()
        if lost:
            log.warning("%s: segment %s is gone or cut; the crawl starts again", source.name, lost[0])
            _remove_traces(disk)
            over = False
    else:
        over = False
    seeds = [url for seed in source.seeds if (url := canonical(seed))]
    served: AbstractContextManager[Site] = serve_pydoc() if source.site else nullcontext(Site([], {}))
    if not over:
        with served as site:
            from .actors import run_actors  # imports ray

            run_actors(source, [*seeds, *site.seeds], site.connect_to, disk, context.progress, here=disk != folder)
    frontier = Frontier(path)
    try:
        counts = frontier.counts()
        if counts["pages"] == 0:
            raise _nothing_stored(source, frontier)
        files = write_results(frontier, source, folder, context.folder, disk / "segments")
    except StageError:
        frontier.close()
        _remove_traces(disk)  # what failed for good today may work when the command is given again
        raise
    frontier.close()
    return UnitReport(name=source.name, files=files, counters=counts)


def _nothing_stored(source: CrawlSource, frontier: Frontier) -> StageError:
    """Why the seeds, or what they redirect to, gave no page."""
    rows = [row for row in frontier.log() if row[2] == 0]  # of depth 0
    causes, fixes = [], {}
    for url, _, _, state, reason, detail, *_ in rows:
        causes.append(f"{url}: {reason or state}" + (f" ({detail})" if detail else ""))
        if reason in _FIXES:
            fixes[_FIXES[reason]] = None
    shown = "; ".join(causes[:3]) + (f"; and {len(causes) - 3} more" if len(causes) > 3 else "")
    return StageError(
        f"source {source.name}: the crawl stored no page. {shown}",
        "; ".join(fixes) or f"check sources.{source.name}.seeds, and that this machine reaches them",
    )


def _remove_traces(folder: Path) -> None:
    """Remove frontier and segments."""
    for path in folder.glob("frontier.sqlite*"):
        path.unlink()
    shutil.rmtree(folder / "segments", ignore_errors=True)
