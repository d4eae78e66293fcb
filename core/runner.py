"""The runner that brings a run's stages up to date.

A stage that is not up to date (stage.py) runs: continuing what a killed attempt with the same fingerprint left, or from
an empty folder, beside an output that is there already and stays until the new one is whole (attempt.py).

Stages run one after the other. One that the next needs late, and by its fingerprint, is still at work when that begins,
where the processors hold both (late.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace

from .. import __version__
from .attempt import begin, settle
from .credentials import masked, values_without_credentials
from .errors import ContractError
from .interrupting import interruptible
from .late import Beside
from .log import log
from .made_with import made_with
from .manifest import Manifest, write_manifest
from .placement import beside_training, hold_both
from .progress import Progress
from .run import Run
from .run_events import of_counters
from .stage import Planned, Stage, StageContext, judge, late_digests, late_fingerprint


def bring_up_to_date(
    stages: Sequence[Stage],
    run: Run,
    session: Callable[[], AbstractContextManager[None]],
    at_work: Callable[[Sequence[str]], None] = lambda names: None,
) -> Iterator[tuple[Planned, Manifest]]:
    """Run every stage that is not up to date, in order, yielding each with its manifest. The caller holds the lock.

    `session` starts Ray; it is entered at the first stage that needs it, and not at all when nothing is to do.
    `at_work` is told the stages at work where these are not the next one alone: when two are, and when one is left.
    """
    with ExitStack() as stack:
        started, waiting = False, list(reversed(stages))
        while waiting:
            stage = waiting.pop()
            settle(run.stage(stage.name))
            planned = judge(stage, run)
            if not planned.todo:
                run.events.add("stage_up_to_date", stage=stage.name)
                yield planned, run.need(stage.name)
                continue
            context = _context(stage, run)
            stage.check(context)
            if stage.needs_ray and not started:
                stack.enter_context(session())
                started = True
            if waiting and _may_overlap(stage, waiting[-1], run):
                yield from _overlap(planned, context, waiting.pop(), at_work)
            else:
                _check_late(stage, run)
                yield planned, _execute(planned, context)


def _may_overlap(stage: Stage, following: Stage, run: Run) -> bool:
    """Whether the stage, which is to run, may still be at work when the one behind it begins."""
    if stage.name not in {one.name for one in following.late}:
        return False
    settle(run.stage(following.name))
    if not judge(following, run).todo:
        return False
    if stage.needs_ray and not hold_both(run.recipe.resources):
        log.info("%s ends before %s begins: there are no processors for both", stage.name, following.name)
        return False
    return True


def _overlap(
    planned: Planned, context: StageContext, following: Stage, at_work: Callable[[Sequence[str]], None]
) -> Iterator[tuple[Planned, Manifest]]:
    """Two stages at once, the first in a thread. What fails first ends the other, and is raised when both are over."""
    stage, run = planned.stage, context.run
    after, its_context = judge(following, run), _context(following, run)
    following.check(its_context)

    def work() -> Manifest:
        made = _execute(planned, context)
        at_work([following.name])
        return made

    beside, made = Beside(context.folder, context.progress, work), None
    room = beside_training(run.recipe.resources) if stage.needs_ray else nullcontext()
    with room, interruptible(), beside:
        log.info("%s begins while %s is at work", following.name, stage.name)
        at_work([stage.name, following.name])
        try:
            made = _execute(after, its_context)
            error = None
        except BaseException as failure:  # also an interrupt: the other has to end before the command does
            error = beside.error or failure
            beside.stop()
    if beside.made is not None:
        yield planned, beside.made
    if made is None or beside.made is None:
        error = error or beside.error
        assert error is not None
        at_work([stage.name if error is beside.error else following.name])
        raise error
    yield after, made


def _check_late(stage: Stage, run: Run) -> None:
    """Raise ContractError for a late input that nobody is going to make."""
    came = late_digests(stage, run)
    for one in stage.late:
        if one.name not in came:
            raise ContractError(f"{run.stage(one.name)} is not up to date", f"bring it up to date first: {run.command}")


def check_planned(planned: Sequence[Planned], run: Run) -> None:
    """Raise what the stages that would run, and whose inputs are there, know to be wrong."""
    for item in planned:
        if item.todo and item.fingerprint is not None:
            item.stage.check(_context(item.stage, run))


def _context(stage: Stage, run: Run) -> StageContext:
    progress = Progress(stage.name, run.events)
    late = {one.name: late_fingerprint(one, run) for one in stage.late}
    inputs = {name: run.need(name) for name in stage.inputs if name not in late}
    return StageContext(run, run.stage(stage.name), inputs, progress, late)


def _execute(planned: Planned, context: StageContext) -> Manifest:
    stage, mark = planned.stage, planned.fingerprint
    assert mark is not None
    folder = context.folder
    context = replace(context, folder=begin(folder, mark))
    log.info("%s: %s", stage.name, planned.why)
    began = time.monotonic()
    with context.run.events.of_stage(stage.name, planned.why) as told:
        with context.progress:
            result = stage.work(context)
        inputs = {name: context.input(name) for name in stage.inputs}
        manifest = Manifest(
            stage=stage.name,
            version=stage.version,
            config=values_without_credentials(stage.config(context.recipe)),
            fingerprint=mark,
            inputs={name: value.digest for name, value in inputs.items()},
            files=sorted(result.files, key=lambda entry: entry.path),
            counters=result.counters,
            facts=result.facts,
            notes=values_without_credentials(result.notes, masked),
            made_with=made_with(stage.holds(context.recipe) if stage.needs_ray else {"CPU": 1}),
            code_version=__version__,
            seconds=round(time.monotonic() - began, 2),
        )
        write_manifest(context.folder, manifest)
        settle(folder)
        told |= {"seconds": manifest.seconds} | of_counters(manifest.counters)
    return manifest
