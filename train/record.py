"""The course of a run, on disk: metrics.jsonl, events.jsonl, course.jsonl, samples.jsonl and what trackers keep. Rank 0
writes, all ranks call.

Where the disk is full every rank raises the same StageError: starting the workers again would not mend it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..core.disk import cannot_write, is_full
from ..core.errors import StoreError
from ..core.log import log
from .along import add_samples, cut_samples
from .course import add_checkpoint, add_start
from .events import add_event, cut_events, sync_events
from .job import Job
from .metrics import Metrics
from .trackers import open_trackers
from .world import World


class Record:
    """Goes on after step `step`, by which there had been `events` events. Raises StageError where the disk is full."""

    def __init__(self, job: Job, world: World, step: int, events: int) -> None:
        self._folder, self._world = job.folder, world
        self._metrics: Metrics | None = None

        def begin() -> None:
            cut_events(job.folder, events)
            cut_samples(job.folder, step)
            add_start(job.folder, step, world.size)
            self._metrics = Metrics(job.folder, step, open_trackers(job.folder, job.name, step, job.watching))

        self._on_rank_0(begin)

    def write(self, row: dict[str, Any]) -> None:
        """Append one row of metrics."""
        self._on_rank_0(lambda: self._metrics and self._metrics.write(row))

    def add_event(self, describe: Callable[[], dict[str, Any]]) -> None:
        """Append one event, which rank 0 alone describes."""
        self._on_rank_0(lambda: add_event(self._folder, describe()))

    def add_checkpoint(self, step: int) -> None:
        """A checkpoint is in place."""
        self._on_rank_0(lambda: add_checkpoint(self._folder, step))

    def add_samples(self, step: int, rows: list[dict[str, Any]]) -> None:
        """What the model wrote after this step."""
        self._on_rank_0(lambda: add_samples(self._folder, step, rows))

    def sync(self) -> None:
        """Make what was written last: a checkpoint must not outlive the lines before it."""

        def both() -> None:
            sync_events(self._folder)
            if self._metrics is not None:
                self._metrics.sync()

        self._on_rank_0(both)

    def close(self) -> None:
        """Each rank for itself: others may be gone. It hides no error that is on its way."""
        if self._metrics is not None:
            try:
                self._metrics.close()
            except (OSError, StoreError) as failure:
                log.warning("the metrics in %s cannot be closed: %s", self._folder, failure)

    def _on_rank_0(self, work: Callable[[], Any]) -> None:
        error = None
        if self._world.rank == 0:
            try:
                work()
            except OSError as failure:
                if not is_full(failure):  # a tracker's network, for one
                    raise
                error = cannot_write("no metrics", self._folder, [failure], full=True)
        self._world.agree(error)
