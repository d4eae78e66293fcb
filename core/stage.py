"""Stages, their fingerprints, and the runner that brings a run up to date.

A stage is up to date when its manifest carries the fingerprint that the recipe and its inputs give now. Otherwise it
runs: continuing what a killed attempt with the same fingerprint left, or from an empty folder, beside an output that
is there already and stays until the new one is whole (attempt.py).

Stages run one after the other. One that the next needs late, and by its fingerprint, is still at work when that begins,
where the processors hold both (late.py).
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import __version__
from .attempt import STARTED, begin, settle, unfinished
from .credentials import masked, values_without_credentials, without_credentials
from .errors import ContractError
from .files import digest
from .interrupting import interruptible
from .late import Beside, awaited
from .log import log
from .made_with import made_with
from .manifest import FileEntry, Manifest, missing, write_manifest
from .placement import beside_training, hold_both
from .progress import Progress
from .recipe import Recipe
from .run import Run
from .run_events import of_counters
from .session import processors


@dataclass(frozen=True)
class StageResult:
    """What a stage hands to its manifest."""

    files: list[FileEntry]
    counters: dict[str, float | int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StageContext:
    """What a stage gets to work with: the folder to write into, the manifests of the stages it named; of those that it
    needs late, the fingerprints."""

    run: Run
    folder: Path
    inputs: dict[str, Manifest]
    progress: Progress
    late: dict[str, str] = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        return self.run.recipe

    def input_folder(self, stage: str) -> Path:
        assert stage in self.inputs or stage in self.late, f"{stage} is not an input of this stage"
        return self.run.stage(stage)

    def input(self, stage: str) -> Manifest:
        """The manifest of an input; of one that comes late, when it is there."""
        if stage in self.late:
            return awaited(self.input_folder(stage), self.late[stage], lambda: log.info("waiting for %s", stage))
        return self.inputs[stage]


@dataclass(frozen=True)
class Stage:
    """One step of a run.

    config(recipe) is the slice of the recipe that its output depends on; version grows when the same slice gives other
    output; external(recipe) identifies what it uses outside the run (path -> size and time, library -> version);
    check(context) raises what can be known to be wrong before a worker starts and before anything of an earlier attempt
    is removed; the context's folder is then the one that the output will stand in. holds(recipe): the processors of its
    workers, {CPU: …, GPU: …}, where these are not all that Ray has. late: those of its inputs that may come while it is
    at work; its output must not depend on when.
    """

    name: str
    inputs: tuple[str, ...]
    config: Callable[[Recipe], dict[str, Any]]
    work: Callable[[StageContext], StageResult]
    version: int = 1
    external: Callable[[Recipe], dict[str, str]] = lambda recipe: {}
    check: Callable[[StageContext], None] = lambda context: None
    holds: Callable[[Recipe], dict[str, float]] = lambda recipe: processors()
    needs_ray: bool = True
    late: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Planned:
    """What the runner would do with a stage. The fingerprint is None while an input has still to run."""

    stage: Stage
    fingerprint: str | None
    todo: bool
    why: str


def sections(*names: str) -> Callable[[Recipe], dict[str, Any]]:
    """Config slice made of whole recipe sections."""
    return lambda recipe: {name: recipe.model_dump(mode="json", include={name})[name] for name in names}


def fingerprint(stage: Stage, recipe: Recipe, inputs: dict[str, str]) -> str:
    """Identity of a stage's work: name, version, settings, inputs' digests, external files.

    With which credentials an address was read does not belong to it.
    """
    external = {without_credentials(name): one for name, one in stage.external(recipe).items()}
    return digest(
        {
            "stage": stage.name,
            "version": stage.version,
            "config": values_without_credentials(stage.config(recipe)),
            "inputs": inputs,
            "external": external,
        }
    )


def plan(stages: Sequence[Stage], run: Run) -> list[Planned]:
    """What each stage would do now, without doing anything."""
    planned: list[Planned] = []
    stale: set[str] = set()
    for stage in stages:
        waits_for = [name for name in stage.inputs if name in stale]
        item = Planned(stage, None, True, f"after {', '.join(waits_for)}") if waits_for else _judge(stage, run)
        if item.todo:
            stale.add(stage.name)
        planned.append(item)
    return planned


def _judge(stage: Stage, run: Run) -> Planned:
    inputs = _marks(stage, run)
    mark, came = fingerprint(stage, run.recipe, inputs), _came(stage, run)
    manifest = run.manifest(stage.name)
    if manifest is None:
        started = (run.stage(stage.name) / STARTED).exists()
        return Planned(stage, mark, True, "unfinished" if started else "never ran")
    others = [name for name, value in (inputs | came).items() if manifest.inputs.get(name) != value]
    if manifest.fingerprint != mark or not came.keys().isdisjoint(others):
        changed = _changed_keys(manifest.config, values_without_credentials(stage.config(run.recipe)))
        if manifest.version != stage.version:
            changed.append(f"the stage's version, {manifest.version} to {stage.version}")
        changed += [f"output of {name}" for name in others]
        begun = "; an unfinished attempt would go on" if unfinished(run.stage(stage.name), mark) else ""
        return Planned(stage, mark, True, f"changed: {', '.join(changed) or 'input files or libraries'}{begun}")
    lost = missing(run.stage(stage.name), manifest.files)
    if lost:
        return Planned(stage, mark, True, f"missing or cut: {lost[0]}")
    return Planned(stage, mark, False, "up to date")


def _marks(stage: Stage, run: Run) -> dict[str, str]:
    """What the fingerprint takes of the inputs: their digests; the fingerprints of those that may come late."""
    late = {one.name: one for one in stage.late}
    return {name: _mark(late[name], run) if name in late else run.need(name).digest for name in stage.inputs}


def _mark(stage: Stage, run: Run) -> str:
    return fingerprint(stage, run.recipe, _marks(stage, run))


def _came(stage: Stage, run: Run) -> dict[str, str]:
    """The digests of those late inputs that are there."""
    made = [(one, run.manifest(one.name)) for one in stage.late]
    return {one.name: it.digest for one, it in made if it is not None and it.fingerprint == _mark(one, run)}


def taken_back(stage: Stage, run: Run) -> str:
    """The `--set` options that give back the settings of the stage's finished output; "" when they are not all that
    changed.
    """
    manifest = run.manifest(stage.name)
    if manifest is None or manifest.version != stage.version:
        return ""
    made = [run.manifest(name) for name in stage.inputs]
    if [one and one.digest for one in made] != [manifest.inputs.get(name) for name in stage.inputs]:
        return ""
    options = []
    for key in _changed_keys(manifest.config, values_without_credentials(stage.config(run.recipe))):
        value: Any = manifest.config
        for part in key.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        options.append(f"--set {shlex.quote(f'{key}={json.dumps(value)}')}")
    return " ".join(options)


def _changed_keys(old: Any, new: Any, at: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        keys = sorted(set(old) | set(new))
        return [k for key in keys for k in _changed_keys(old.get(key), new.get(key), f"{at}.{key}".lstrip("."))]
    return [] if old == new else [at]


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
            planned = _judge(stage, run)
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
    if not _judge(following, run).todo:
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
    after, its_context = _judge(following, run), _context(following, run)
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
    came = _came(stage, run)
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
    late = {one.name: _mark(one, run) for one in stage.late}
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
