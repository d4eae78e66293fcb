"""What Ray Tune runs for a trial: the trial itself, or the driver of a Ray Train run of several workers.

A trial of one worker is a process with the CPUs and GPUs of one. The driver of a larger one holds no CPU, else trials
would wait for the CPUs that their own drivers hold; its workers get theirs from Ray Train. They look for checkpoints in
the trial's own folder, so that a trial that starts anew, for whatever reason, goes on.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train import report as report_to_train
from ray.train.torch import TorchTrainer, get_device
from ray.tune.integration.ray_train import TuneReportCallback

from ..core.errors import Crawl2ChatError, RecipeError
from ..core.settings_tune import Tune
from ..train.rendezvous import MeetingConfig
from ..train.world import Distributed
from .trial import Trial
from .trial_run import Report, TrialRun, ended_before, failed, run_trial

DRIVER_MEMORY = 64 << 20  # a driver has to hold something


def trainable_of(trial: Trial) -> Any:
    """The trainable with its resources."""
    if trial.workers == 1:
        resources = {"cpu": trial.cpus} | ({"gpu": trial.gpus} if trial.gpus else {}) | trial.place
        return tune.with_resources(run_trial, resources)
    return tune.with_resources(drive_trial, {"cpu": 0, "memory": DRIVER_MEMORY})


def check_size(trial: Trial, settings: Tune) -> None:
    """A local Ray does not grow: trials that do not fit would wait for each other without end. Raises RecipeError."""
    has = ray.cluster_resources()
    for kind, each in (("CPU", trial.cpus), ("GPU", trial.gpus)):
        needed = each * trial.workers * (settings.concurrent if trial.workers > 1 else 1)
        if needed > has.get(kind, 0):
            raise RecipeError(
                f"{settings.concurrent} trials at a time of {trial.workers} workers with {each:g} {kind} each need "
                f"{needed:g} {kind}, but this machine's Ray has {has.get(kind, 0):g}",
                "lower tune.concurrent or tune.workers_per_trial",
            )


def drive_trial(config: dict[str, Any]) -> None:
    """Ray Tune's trainable of a trial of several workers. Their reports are the trial's."""
    trial = Trial.model_validate(config["trial"]).with_values(config.get("values", {}))
    if ended_before(trial):
        return
    folder = Path(trial.folder) / "workers" / f"{trial.phase}-{tune.get_context().get_trial_id()}"
    trainer = TorchTrainer(
        work_on_trial,
        train_loop_config={"trial": trial.model_dump(mode="json"), "folder": str(folder)},
        torch_config=MeetingConfig(),
        scaling_config=ScalingConfig(
            num_workers=trial.workers,
            use_gpu=trial.gpus > 0,
            resources_per_worker={"CPU": trial.cpus} | ({"GPU": trial.gpus} if trial.gpus else {}) | trial.place,
        ),
        run_config=RunConfig(
            name=folder.name,
            storage_path=str(folder.parent),
            callbacks=[TuneReportCallback()],
            failure_config=FailureConfig(max_failures=1),
        ),
    )
    trainer.fit()


def work_on_trial(config: dict[str, Any]) -> None:
    """One rank of a trial."""
    world, checkpoints = Distributed(get_device()), Path(config["folder"]) / "checkpoints"

    def tell(report: Report, save: Callable[[Path], None] | None) -> None:
        if save is not None:
            checkpoints.mkdir(parents=True, exist_ok=True)
            save(checkpoints)
        report["own_cpu_seconds"] = float(sum(world.gather(report["own_cpu_seconds"])))
        report_to_train(report)

    try:
        run = TrialRun(Trial.model_validate(config["trial"]), tell, checkpoints, world)
    except Crawl2ChatError as error:
        report_to_train(failed(error.message))
        return
    run.run()
