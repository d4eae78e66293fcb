"""Training jobs on Ray Train: a controller, workers that run `train/worker.py`, restarts, progress in the driver.

Ray Train restarts the workers when one dies; they find the newest complete checkpoint themselves, in the stage's
folder. So it does not matter whether Ray had registered it, nor whether the driver or the controller died in between.
Told that a node is to be taken away, they leave with a checkpoint, and start again on the nodes that stay.
Each checkpoint is also reported to Ray Train, where Ray's own tools see it; Ray deletes none (num_to_keep is unset).
"""

from __future__ import annotations

import errno
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import ray
import ray.train
from ray.exceptions import RayError
from ray.train import Checkpoint, CheckpointUploadMode, FailureConfig, RunConfig, ScalingConfig
from ray.train import WorkerGroupError as RayWorkerGroupError
from ray.train.torch import get_device
from ray.util import placement_group_table
from ray.util.placement_group import PlacementGroup, remove_placement_group

from ..core import meters
from ..core.errors import Crawl2ChatError, RecipeError, StageError
from ..core.late import ended
from ..core.log import log
from ..core.placement import await_node
from ..core.progress import Progress
from ..core.remote_path import RemotePath
from ..core.settings_training import Resources
from .fault import take_fault, tell_fault, told_by_all, told_fault
from .follow import follow
from .job import Job
from .notice import Leaving, Told
from .rendezvous import MeetingConfig
from .trackers import check_trackers
from .trainer import LeanTrainer
from .worker import run_training
from .world import Distributed

SNAPSHOT = "checkpoint_manager_snapshot.json"  # Ray's record of reported checkpoints, of which we prune some
ENVIRONMENT = {  # the controller and the workers inherit these from the driver
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "1",  # also how soon a dead worker is noticed
    "RAY_TRAIN_METRICS_ENABLED": "0",
}
ELASTIC = {"RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "20"}  # then it is tried with as many as there are
SHOWN = {"RAY_TRAIN_ENABLE_STATE_TRACKING": "1"}  # the dashboard's page on trainings; one process more
RANKS = {"data_wait": "crawl2chat_data_wait", "memory_bytes": "crawl2chat_memory_bytes"}  # figures of a rank: gauges
WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"
LOCAL = {WATCHER: "0"}  # one process less to start: nobody drains a local Ray
FULL = "free some space; the same command continues from the newest checkpoint"
FIX = "see the Ray logs of the run; the same command continues from the newest checkpoint"


def launch(job: Job, resources: Resources, progress: Progress) -> None:
    """Bring a job to its last step on `resources.train_workers` workers, from its newest complete checkpoint on.

    Raises ContractError before any worker starts when that checkpoint belongs to something else, StageError when
    training fails more than `resources.max_failures` times or for a reason that repeating cannot mend.
    """
    _, start = job.resume_from()
    progress.start(job.plan.steps, done=start.step, counting="tokens")
    if start.step >= job.plan.steps:
        return
    check_trackers(job.watching)
    _check_size(resources)
    await_node(resources.train_resource)
    (job.folder / SNAPSHOT).unlink(missing_ok=True)
    take_fault(job.folder)  # of a driver that was killed
    local = resources.address is None and "RAY_ADDRESS" not in os.environ
    elastic = ELASTIC if resources.min_train_workers else {}
    shown = SHOWN if resources.dashboard or not local else {}
    for name, value in (ENVIRONMENT | elastic | shown | (LOCAL if local else {})).items():
        os.environ.setdefault(name, value)
    with follow(job.folder, start.step, start.tokens_seen, progress), _placement_groups(), _own_interrupt():
        while (leaving := _fit(job, resources, progress.labels)) is not None:
            if job.late is not None and (fault := ended(job.late)) is not None:
                raise fault
            log.warning("training: %s; it goes on where there is room", leaving)
            (job.folder / SNAPSHOT).unlink(missing_ok=True)


def _check_size(resources: Resources) -> None:
    """A local Ray does not grow: workers that do not fit would be waited for without end."""
    if resources.address or os.environ.get("RAY_ADDRESS"):
        return
    has, workers = ray.cluster_resources(), resources.min_train_workers or resources.train_workers
    for kind, each in (("CPU", resources.cpus_per_worker), ("GPU", resources.gpus_per_worker)):
        if each * workers > has.get(kind, 0):
            raise RecipeError(
                f"resources.train_workers = {workers} with {each:g} {kind} each need {each * workers:g} {kind}, "
                f"but this machine's Ray has {has.get(kind, 0):g}",
                f"lower resources.train_workers or resources.{kind.lower()}s_per_worker",
            )


def train_in_ray(config: dict[str, Any]) -> Crawl2ChatError | Leaving | None:
    """What each of Ray's workers runs: `job`, with `labels` for its numbers, and `patience` with the other workers.

    An error of ours that all of them met is handed back, not raised: for Ray the run is over, as repeating would not
    mend it. So is Leaving, which is not one of the failures that Ray counts.

    One that met a worker alone leaves the others in the middle of a collective, out of which only their end brings
    them: it is raised, Ray ends all workers and starts them again, and these hand it back before they train.
    """

    def report(checkpoint: Path, row: dict[str, Any]) -> None:
        ray.train.report(
            row,
            checkpoint=ray_checkpoint(checkpoint),
            checkpoint_dir_name=checkpoint.name,
            checkpoint_upload_mode=CheckpointUploadMode.NO_UPLOAD,
        )

    def show(row: dict[str, Any]) -> None:
        for figure in RANKS.keys() & row:
            meters.show(RANKS[figure], row[figure], **labels)

    job: Job = config["job"]
    world = Distributed(get_device(), patience=config["patience"])
    labels = config["labels"] | {"rank": str(world.rank)}
    if (before := told_fault(job.folder)) is not None:
        return before
    try:
        run_training(job, world, report, show, _told(job))
    except Leaving as leaving:
        return leaving
    except Crawl2ChatError as error:
        if tell_fault(job.folder, error, world.rank) and not told_by_all(job.folder, world.size):
            raise
        return error
    return None


def ray_checkpoint(folder: Path) -> Checkpoint:
    """A checkpoint as Ray knows it, on the very file system that it has the run on: an equal one it would refuse."""
    if not isinstance(folder, RemotePath):
        return Checkpoint(str(folder))
    storage: Any = ray.train.get_context().get_storage()
    return Checkpoint(folder.key, storage.storage_filesystem)


def ray_storage(folder: Path) -> tuple[str, Any]:
    """A folder as Ray takes it: its path, and the file system where it is not this machine's."""
    if not isinstance(folder, RemotePath):
        return str(folder), None
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    return folder.key, PyFileSystem(FSSpecHandler(folder.store.files))  # pyright: ignore[reportAbstractUsage]


def _told(job: Job) -> Told | None:
    """Tells workers to leave: Ray, of a node that goes; a stage beside, that it has ended without its output."""
    watched, late = os.environ.get(WATCHER) != "0", job.late

    def told() -> bool:
        going = watched and ray.train.get_preemption_info() is not None
        return going or (late is not None and ended(late) is not None)

    return told if watched or late is not None else None


def _fit(job: Job, resources: Resources, labels: dict[str, str]) -> Leaving | None:
    """To the last step, or to a notice that a node is to be taken away."""
    path, files = ray_storage(job.folder.parent)  # Ray wants reported checkpoints below storage_path/name
    trainer = LeanTrainer(
        train_in_ray,
        train_loop_config={"job": job, "labels": labels, "patience": timedelta(seconds=resources.collective_seconds)},
        torch_config=MeetingConfig(timeout_s=resources.collective_seconds),
        scaling_config=ScalingConfig(
            num_workers=(
                (resources.min_train_workers, resources.train_workers)
                if resources.min_train_workers
                else resources.train_workers
            ),
            elastic_resize_monitor_interval_s=resources.elastic_seconds,
            use_gpu=resources.gpus_per_worker > 0,
            resources_per_worker=resources.of_worker,
        ),
        run_config=RunConfig(
            name=job.folder.name,
            storage_path=path,
            storage_filesystem=files,
            failure_config=FailureConfig(max_failures=resources.max_failures),
        ),
    )
    try:
        ended = trainer.fit().return_value
    except RayWorkerGroupError as failure:
        raise take_fault(job.folder) or StageError(_explain(failure), FIX) from failure
    except (ray.train.TrainingFailedError, RayError) as failure:
        told = f"the training controller failed: {type(failure).__name__}: {failure}"
        fix = FULL if os.strerror(errno.ENOSPC) in told else FIX  # it writes what was reported to the stage's folder
        raise take_fault(job.folder) or StageError(told, fix) from failure
    error = take_fault(job.folder) or ended
    if error is None or isinstance(error, Leaving):
        return error
    raise error


def _explain(failure: RayWorkerGroupError) -> str:
    """The first of the workers' failures, preferring a real error to a neighbour's broken connection."""
    failures = sorted(failure.worker_failures.items())
    told = [(rank, error) for rank, error in failures if "Connection closed by peer" not in str(error)]
    rank, error = (told or failures)[0]
    last_line = str(error).strip().splitlines()[-1]
    return f"training worker {rank} failed: {last_line}"


@contextmanager
def _placement_groups() -> Iterator[None]:
    """Remove the placement groups that a dead controller left: they would hold the CPUs that the next run needs."""
    before = set(placement_group_table())
    try:
        yield
    except BaseException:
        job = ray.get_runtime_context().get_job_id()
        for name, state in placement_group_table().items():
            if name not in before and name.endswith(job) and state["state"] != "REMOVED":
                with suppress(RayError):
                    remove_placement_group(PlacementGroup(ray.PlacementGroupID.from_hex(name)))
        raise


@contextmanager
def _own_interrupt() -> Iterator[None]:
    """Ray Train answers Ctrl-C by aborting the run and leaving with exit code 0; for us it is an interrupt."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT) if main else None
    try:
        yield
    except SystemExit as leaving:
        raise KeyboardInterrupt from leaving
    finally:
        if main:
            signal.signal(signal.SIGINT, handler)
