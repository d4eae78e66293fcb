"""Stages, their fingerprints, and whether they are up to date. runner.py runs those that are not.

A stage is up to date when its manifest carries the fingerprint that the recipe and its inputs give now.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .attempt import STARTED, unfinished
from .credentials import values_without_credentials, without_credentials
from .files import digest
from .late import awaited
from .log import log
from .manifest import FileEntry, Manifest, missing
from .progress import Progress
from .recipe import Recipe
from .run import Run
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
        item = Planned(stage, None, True, f"after {', '.join(waits_for)}") if waits_for else judge(stage, run)
        if item.todo:
            stale.add(stage.name)
        planned.append(item)
    return planned


def judge(stage: Stage, run: Run) -> Planned:
    inputs = _marks(stage, run)
    mark, came = fingerprint(stage, run.recipe, inputs), late_digests(stage, run)
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
    return {name: late_fingerprint(late[name], run) if name in late else run.need(name).digest for name in stage.inputs}


def late_fingerprint(stage: Stage, run: Run) -> str:
    return fingerprint(stage, run.recipe, _marks(stage, run))


def late_digests(stage: Stage, run: Run) -> dict[str, str]:
    """The digests of those late inputs that are there."""
    made = [(one, run.manifest(one.name)) for one in stage.late]
    return {one.name: it.digest for one, it in made if it is not None and it.fingerprint == late_fingerprint(one, run)}


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
