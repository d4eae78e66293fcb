"""A run whose training begins early, up to its stage `pretrain`: as a command does it, with a stage `shards` that stops
half way until it is let on. As a program: of the run whose folder is given, and nobody lets it on.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial

from crawl2chat.core.manifest import Manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.session import ray_session
from crawl2chat.core.stage import Stage, StageContext, StageResult
from crawl2chat.pipelines.stages import all_stages

NAMES = ("dedup", "tokenizer", "shards_early", "shards", "pretrain")
LET_ON = 2  # units of `shards`, beside those that it took over


class Gate(Progress):
    """Progress that goes no further than `LET_ON` steps before it is let on."""

    def __init__(self, stage: str, go: threading.Event) -> None:
        super().__init__(stage)
        self._go, self._steps = go, 0

    def advance(self, steps: int, amount: float = 0.0, note: str = "") -> None:
        super().advance(steps, amount, note)
        self._steps += steps
        if self._steps >= LET_ON:
            assert self._go.wait(300), "nobody let it on"


def stages_of(run: Run, names: Sequence[str] = NAMES) -> list[Stage]:
    return [stage for stage in all_stages(run.recipe) if stage.name in names]


def gated(stages: Sequence[Stage], go: threading.Event) -> list[Stage]:
    """The same, with a gate in the work of `shards`."""

    def behind(stage: Stage) -> Stage:
        def work(ctx: StageContext) -> StageResult:
            return stage.work(replace(ctx, progress=Gate(stage.name, go)))

        return replace(stage, work=work)

    return [behind(stage) if stage.name == "shards" else stage for stage in stages]


def bring(
    run: Run, stages: Sequence[Stage], session: Callable[[], AbstractContextManager[None]]
) -> dict[str, Manifest]:
    return {item.stage.name: made for item, made in bring_up_to_date(stages, run, session)}


if __name__ == "__main__":
    run = Run.open(sys.argv[1])
    with run.lock():
        session = partial(ray_session, run.recipe.resources, run.folder / "logs")
        bring(run, gated(stages_of(run), threading.Event()), session)
