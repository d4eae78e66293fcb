"""`crawl2chat plan --measure`: two runs of the recipe on samples of its sources, through its own stages on Ray.

    STORAGE/NAME.plan/files/     the samples
    STORAGE/NAME.plan/part/      the run on a quarter of the sample, data and tokens alone
    STORAGE/NAME.plan/sample/    the run on the sample, with some steps of each training
    STORAGE/NAME.plan/profile.json

Two runs, as what starts and what works can be told apart by two sizes only (fitted.py). Each has a Ray of its own, as
the run that is planned will. All of it is written anew each time.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from ..core.code_version import code_version
from ..core.errors import InputError
from ..core.progress import console
from ..core.recipe import Recipe
from ..core.remote_path import is_remote
from ..core.run import Run
from ..core.settings_alignment import Align
from ..core.settings_training import Finetune, Train
from ..core.settings_watching import Watching
from ..core.stage import Stage
from ..pipelines.execute import check_inputs, execute
from ..pipelines.stages import GROUPS, run_stages
from .fitted import Line, fitted, line_through
from .profile_file import Measured
from .run_profile import Profile, read_profile
from .sampling import Amount, amount_of, sampled
from .training_profile import TRAININGS, read_trainings
from .watch import looking

PART = 0.25  # of the sample, in the first run
STEPS = {"pretrain": 40, "finetune": 16, "align": 12}  # of the trainings
LOGS = 8  # rows of metrics
CPUS = 4  # of a local Ray: rates are by core, and each core wants files of its own
UNITS_A_CPU = 3
DATA = (*GROUPS["data"], *GROUPS["tokenizer"])
AS_MEASURED = ("instructions", "samples", "evaluate")
Training = TypeVar("Training", Train, Finetune, Align)
LEAST_VALIDATION = 0.1  # of the sample's documents, so that some are there


def place(recipe: Recipe) -> Path:
    """Where the runs of a measurement lie: of a run in an object store, here."""
    return Path("" if is_remote(recipe.storage) else recipe.storage) / f"{recipe.name}.plan"


def measure(recipe: Recipe, wanted: float | None = None) -> Measured:
    """Run both samples, and read the profile. `wanted`: bytes of the larger. Raises what the stages raise."""
    check_inputs(recipe)
    folder = place(recipe)
    for name in ("files", "part", "sample"):
        shutil.rmtree(folder / name, ignore_errors=True)
    cpus = _cpus(recipe)
    amount = amount_of(recipe, wanted, UNITS_A_CPU * cpus)
    console.print(f"measuring on {amount.share:.2g} of the sources, in {folder}", markup=False, soft_wrap=True)
    has_data = any(stage.name == "extract" for stage in run_stages(recipe))
    if has_data:
        part = _sample(recipe, replace(amount, share=amount.share * PART), folder, "part", cpus)
        execute(part, [stage for stage in run_stages(part.recipe) if stage.name in DATA])
    whole = _sample(recipe, amount, folder, "sample", cpus)
    stages = [stage for stage in run_stages(whole.recipe) if _can_run(stage, recipe)]
    with looking() as looks:
        execute(whole, stages)
    seen = looks.by_stage(whole, list(DATA)) if has_data else {}
    return _profile(recipe, folder, f"a sample of {recipe.name}, {amount.share:.2g} of its sources", seen)


def _profile(recipe: Recipe, folder: Path, what: str, worker_mb: dict[str, float]) -> Measured:
    """Of both runs, which are finished."""
    whole = Run.open(folder / "sample")
    part, data = None, None
    if whole.manifest("extract") is not None:
        part = Run.open(folder / "part")
        data = fitted(read_profile(part.folder), read_profile(whole.folder))
        data = replace(data, worker_mb=worker_mb, amounts={}, kinds={one.name: one.kind for one in recipe.sources})
        data = _as_split(data, recipe.shards.validation_share, whole.recipe.shards.validation_share)
    return Measured(_made(recipe, what, whole), data, _crawl_line(part, whole), read_trainings(whole), _others(whole))


def measured_run(folder: Path) -> Measured:
    """A finished run as a profile: what starting takes is not told apart in passes of one piece."""
    run = Run.open(folder)
    data = read_profile(run.folder) if run.manifest("extract") is not None else None
    trainings = read_trainings(run)
    if data is None and not trainings:
        raise InputError(f"--profile {folder}: no stage of it is finished", f"run it first: {run.command}")
    data = replace(data, amounts={}) if data is not None else None
    return Measured(
        _made(run.recipe, f"a finished run of {run.recipe.name}", run),
        data,
        _crawl_line(None, run),
        trainings,
        _others(run),
    )


def _cpus(recipe: Recipe) -> int:
    """Few, but as many as the training workers need."""
    resources = recipe.resources
    few = min(CPUS, resources.cpus or os.cpu_count() or 1)
    return max(few, int(resources.training["CPU"]))


def _can_run(stage: Stage, recipe: Recipe) -> bool:
    """GPUs that are not here cannot be measured; nothing else is left out but what only looks at the model."""
    if stage.name in (*TRAININGS, "samples") and recipe.resources.gpus_per_worker and not shutil.which("nvidia-smi"):
        return False
    return stage.name != "evaluate"


def _sample(recipe: Recipe, amount: Amount, folder: Path, name: str, cpus: int) -> Run:
    """The recipe on a sample, with few steps; gates, which are for whole corpora, do not stop it."""
    resources = recipe.resources
    local = resources.model_copy(update={"cpus": cpus}) if resources.address is None else resources
    gates = recipe.dedup.gates.model_copy(update={"max_removed": 1.0, "min_precision": 0.0})
    share = max(recipe.shards.validation_share, LEAST_VALIDATION)
    changed: dict[str, Any] = {
        "name": name,
        "storage": str(folder),
        "sources": sampled(recipe, amount, folder / "files" / name),
        "dedup": recipe.dedup.model_copy(update={"gates": gates}),
        "shards": recipe.shards.model_copy(update={"validation_share": share}),
        "train": few_steps(recipe.train, STEPS["pretrain"]),
        "finetune": few_steps(recipe.finetune, STEPS["finetune"]),
        "align": few_steps(recipe.align, STEPS["align"]) if recipe.align is not None else None,
        "evaluate": None,
        "watching": Watching(),
        "resources": local,
    }
    return Run(recipe.model_copy(update=changed))


def few_steps(section: Training, steps: int) -> Training:
    """The section with so many steps, logged often, validated and saved at their end."""
    if isinstance(section, Align) and section.method == "grpo":
        steps = -(-steps // section.grpo.updates) * section.grpo.updates
    steps = min(steps, section.steps)
    optimizer = section.optimizer.model_copy(update={"warmup_steps": min(section.optimizer.warmup_steps, steps // 2)})
    changed: dict[str, Any] = {"steps": steps, "log_every": max(1, steps // LOGS), "optimizer": optimizer}
    changed |= {"validate_every": steps, "checkpoint_every": steps, "keep_every": None}
    if isinstance(section, Train):
        changed |= {"batch_warmup": [], "branch_from": None}
    return section.model_copy(update=changed)


def _as_split(data: Profile, wanted: float, measured: float) -> Profile:
    """Tokens to train on as the recipe splits them: the sample holds back a larger share."""
    times = (1 - wanted) / (1 - measured)

    def scaled(quantities: dict[str, float]) -> dict[str, float]:
        return {name: value * times if name == "tokens" else value for name, value in quantities.items()}

    return replace(
        data, totals=scaled(data.totals), sources={name: scaled(mine) for name, mine in data.sources.items()}
    )


def _crawl_line(small: Run | None, large: Run) -> Line | None:
    """Seconds of a crawl by its pages."""
    points = []
    for run in (small, large):
        manifest = run.manifest("crawl") if run is not None else None
        if manifest is not None and manifest.counters.get("pages"):
            points.append((float(manifest.counters["pages"]), manifest.seconds))
    if not points:
        return None
    return line_through(*points) if len(points) == 2 else Line(0.0, points[0][1] / points[0][0])


def _others(run: Run) -> dict[str, float]:
    found = {name: run.manifest(name) for name in AS_MEASURED}
    return {name: manifest.seconds for name, manifest in found.items() if manifest is not None}


def _made(recipe: Recipe, what: str, run: Run) -> dict[str, Any]:
    manifests = [run.manifest(name) for name in ("extract", *TRAININGS)]
    made_with = next((one.made_with for one in manifests if one is not None), {})
    return {
        "recipe": recipe.name,
        "what": what,
        "date": datetime.now(UTC).date().isoformat(),
        "code_version": code_version(),
        "processors": made_with.get("processors", {}),
    }
