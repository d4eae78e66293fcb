"""Writing checkpoints: beside the training, all or nothing, on all ranks alike."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from crawl2chat.core.errors import StageError
from crawl2chat.core.settings_optimizer import Optimizer
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.train import checkpoints
from crawl2chat.train.job import Job
from crawl2chat.train.optimizer import make_optimizer
from crawl2chat.train.saving import Saver
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .limits import file_size_limit
from .ranks import on_ranks


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_multiples_of_keep_every_stay_as_well(job: Job) -> None:
    plan = replace(job.plan, steps=22, checkpoint_every=3)
    run_training(replace(job, plan=plan, keep=1, keep_every=6), World())
    assert names(job.checkpoints) == ["step_000006", "step_000012", "step_000018", "step_000022"]


@pytest.mark.parametrize("beside", [True, False])
def test_a_checkpoint_holds_the_state_of_its_step_whatever_the_training_does_meanwhile(
    tmp_path: Path, small: ModelConfig, beside: bool
) -> None:
    model = Transformer(small)
    model.init_weights(1)
    optimizer = make_optimizer(model, Optimizer())
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    saver = Saver(tmp_path, World(), "a", keep=2, beside=beside)
    for step in (1, 2):
        meta = checkpoints.Meta(step, 0, small.to_dict(), "", "", {}, {})
        saver.save(model, optimizer, meta)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1)
        assert saver.wait() == tmp_path / checkpoints.step_name(step)
        loaded, _ = checkpoints.load_for_inference(tmp_path / checkpoints.step_name(step))
        for name, tensor in loaded.state_dict().items():
            assert torch.equal(tensor, before[name] + (step - 1))


def test_a_disk_that_is_full_is_named_and_what_was_there_stays(job: Job) -> None:
    run_training(job, World())
    folder = job.checkpoints
    longer = replace(job, plan=replace(job.plan, steps=30))
    with file_size_limit(20_000), pytest.raises(StageError, match="free some space") as caught:
        run_training(longer, World())
    assert str(job.checkpoints) in str(caught.value) and "MiB free" in str(caught.value)
    assert names(folder) == ["step_000016", "step_000020"]
    assert run_training(longer, World()) == 20
    assert names(folder) == ["step_000024", "step_000030"]


def full_on_one(world: World, job: Job) -> None:
    limit = 20_000 if world.rank == 1 else resource.RLIM_INFINITY
    with file_size_limit(limit), pytest.raises(StageError, match="free some space"):
        run_training(job, world)


@pytest.mark.slow
def test_a_rank_that_cannot_write_ends_all_with_its_error(job: Job) -> None:
    on_ranks((2, full_on_one, (job,)))
    assert names(job.checkpoints) == []
    assert run_training(job, World()) == 0


def open_files(world: World, folder: Path) -> None:
    """A run that goes back makes a new saver each time."""
    found: list[int] = []
    for _ in range(4):
        Saver(folder, world, "a", keep=1).close()
        world.gather(None)
        deadline = time.monotonic() + 20  # sockets of a group that has ended close a little later
        while (now := len(list(Path("/proc/self/fd").iterdir()))) > min(found, default=now):
            assert time.monotonic() < deadline, f"{now} open files, {found} before"
            time.sleep(0.05)
        found.append(now)


def test_a_saver_that_is_closed_leaves_no_group_open(tmp_path: Path) -> None:
    on_ranks((2, open_files, (tmp_path,)))
