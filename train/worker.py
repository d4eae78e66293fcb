"""What one training process does: build or resume the model, run the loop, validate, write metrics and checkpoints.

It knows nothing of Ray: the launcher calls it in Ray's workers, tests call it in plain processes.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.log import log
from . import checkpoints
from .allocator import keep_freed_memory
from .batch_trace import batch_doc_ids
from .course import add_wait
from .early import EarlyRows
from .guard import History, Rewind, after_rewind
from .job import Job, Report, Show
from .loop import Hooks, train
from .notice import Leaving, Notice, Told
from .objective import NextToken
from .optimizer import make_optimizer
from .peak import peak_flops
from .record import Record
from .saving import Saver
from .schedule import learning_rates
from .shard_cache import on_this_machine
from .strategies import build, spread
from .verify import Verifier
from .watch import Watch
from .world import World


def run_training(
    job: Job, world: World, report: Report | None = None, show: Show | None = None, told: Told | None = None
) -> int:
    """Train from the newest complete checkpoint, or from the start, to the last step. Returns the step begun from.

    `report(checkpoint, row)` is called on every rank when a checkpoint is in place, with the newest metrics;
    `show(row)` with each row of metrics, which has this rank's figures. When `told()` is true on a rank, all raise
    Leaving, with a checkpoint of their last step in place, unless shards were still being verified.
    """
    torch.set_num_threads(job.threads)
    keep_freed_memory()
    with on_this_machine(job, world) as job:
        return _run(job, world, report, show, told)


def _run(job: Job, world: World, report: Report | None, show: Show | None, told: Told | None) -> int:
    job.checkpoints.mkdir(parents=True, exist_ok=True)
    attempt = world.broadcast(uuid.uuid4().hex[:8])
    peak = sum(world.gather(peak_flops(world.device, job.plan.precision, world.size)))  # before others take the cores
    verifier = Verifier(job.folder, job.shards, world, job.threads)
    path, start = world.broadcast(job.resume_from() if world.rank == 0 else None)
    history, first = History(**start.guard), start.step
    if job.branch is not None and path == job.branch.checkpoint:
        history.events = 0  # the other run's stand in its folder
    while True:
        try:
            _go_on(job, world, report, show, told, attempt, peak, verifier, path, start, history)
            return first
        except IndexError as error:  # a token outside the vocabulary: most likely of a shard that is corrupt
            raise verifier.search() or error from error
        except Rewind as rewind:
            path, start = world.broadcast(job.resume_from() if world.rank == 0 else None)
            assert job.plan.guard is not None
            rows, patience = job.plan.begins(start.step + 1), job.plan.guard.patience
            history = after_rewind(History(**start.guard), history, rewind, start.step, rows, patience)
        except BaseException:
            verifier.close()  # else the process ends when all is read
            raise


def _go_on(
    job: Job,
    world: World,
    report: Report | None,
    show: Show | None,
    told: Told | None,
    attempt: str,
    peak: float,
    verifier: Verifier,
    path: Path | None,
    start: checkpoints.Meta,
    history: History,
) -> None:
    """From a checkpoint, or from the start, to the last step, or to a spike that calls for a Rewind."""
    data = job.open_data()
    late = data if isinstance(data, EarlyRows) else None
    validation = job.open_validation() if job.open_validation else None
    precision, parallel = job.plan.precision, job.parallel
    objective = job.objective or NextToken(job.plan.z_loss, job.token_bytes)
    model = build(job.model, job.plan.seed, precision, world, parallel, job.unit_parameters, job.variant)
    model.document_begin = job.document_begin
    optimizer = make_optimizer(model, job.optimizer)
    if path is not None:
        checkpoints.load(path, model, optimizer, world)
    elif job.initial is not None:
        checkpoints.load_weights(job.initial, model, world, job.variant)
    model, optimizer = spread(model, optimizer, precision, job.plan.clip_norm, world, parallel)
    record = Record(job, world, start.step, history.events)
    saver = Saver(job.checkpoints, world, attempt, job.keep, job.keep_every, job.save_beside)
    newest: dict[str, Any] = {}
    notice, saved = Notice(world, told, start.step), start.step
    # a run that may go back to a checkpoint must find it where every run of the recipe does
    punctual = job.plan.guard is not None and job.plan.guard.policy == "rewind"

    def spike(event: dict[str, Any], indices: np.ndarray) -> None:
        if world.rank == 0:
            log.warning("step %d: %s: %s", event["step"], event["reason"], event["action"])
        record.add_event(lambda: event | {"rows": indices.tolist(), "doc_ids": batch_doc_ids(data, indices)})

    def tell(checkpoint: Path | None) -> None:
        if checkpoint is None:
            return
        record.add_checkpoint(int(checkpoint.name.removeprefix("step_")))
        if report is not None:
            report(checkpoint, newest)

    def note(row: dict[str, Any]) -> None:
        verifier.all_right()
        tell(saver.poll())
        newest.update(row)
        record.write(row)
        if show is not None:
            show(row)

    def check(step: int) -> None:
        if validation is not None:
            rows = job.plan.micro_batch or max(1, job.plan.batch // world.size)
            note({"step": step} | objective.validate(model, validation, rows, precision, world))
        if job.along is not None:
            record.add_samples(step, job.along(model, precision, world))

    def probe(step: int) -> None:
        if job.probe is not None:
            model.eval()
            note({"step": step} | job.probe(model, world))
            model.train()

    def save(step: int, tokens_seen: int) -> bool:
        """Nothing that a corrupt shard has taught is kept: put off until all shards are found right."""
        nonlocal saved
        read(step)
        if not verifier.all_right(wait=step == job.plan.steps or punctual):
            return True
        record.sync()
        tell(saver.wait())
        saver.save(model, optimizer, job.meta(step, tokens_seen, history))
        saved = step
        return False

    def reaches(step: int) -> bool:
        return late is not None and late.reaches(job.plan.begins(step + 1) + history.shift(step))

    def read(step: int) -> None:
        """From the first step on that had rows of shards which came late, these are to be found right too."""
        if late is not None and reaches(step):
            verifier.add(late.late_shards())

    def wait() -> None:
        steps = range(start.step + 1, job.plan.steps + 1)
        add_wait(job.folder, next(filter(reaches, steps), job.plan.steps))

    if late is not None and world.rank == 0:
        late.waits = wait

    def leave(step: int, tokens_seen: int) -> None:
        read(step)
        if step < job.plan.steps and notice.given(step):
            if saved < step:
                save(step, tokens_seen)
            tell(saver.wait())
            raise Leaving(step)

    watch = Watch(job.plan.steps, start.step, job.model.flops_per_token(), peak)
    if job.validate_first and start.step == 0:
        check(0)
        probe(0)
    schedule = learning_rates(job.optimizer, job.plan.steps, job.branch and job.branch.meta.step)
    hooks = Hooks(note, check, save, spike, probe, leave)
    at = (start.step, start.tokens_seen, history)
    try:
        train(model, optimizer, schedule, data, job.plan, world, hooks, *at, watch, objective)
        tell(saver.wait())
    except Rewind:
        tell(saver.wait())  # it is what the run goes back to
        raise
    except IndexError:  # see _run
        if late is not None and late.opened:
            verifier.add(late.late_shards())
        raise
    finally:
        saver.close()
        record.close()
