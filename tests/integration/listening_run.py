"""A local Ray whose two workers train together until a file appears: python listening_run.py FOLDER."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import ray.train
import torch
import torch.distributed as dist
from crawl2chat.core.session import ray_session
from crawl2chat.core.settings_training import Resources
from crawl2chat.train.rendezvous import MeetingConfig
from crawl2chat.train.trainer import LeanTrainer
from crawl2chat.train.world import Distributed


def train(config: dict[str, str]) -> None:
    """As training does: collectives of the default group, and of one beside it."""
    folder = Path(config["folder"])
    world = Distributed()
    assert float(world.sum(torch.ones(1))) == dist.get_world_size() == 2
    assert world.side_channel().gather(world.rank) == [0, 1]
    (folder / f"ready-{world.rank}").touch()
    while not (folder / "enough").exists():
        time.sleep(0.1)


def main() -> None:
    folder = Path(sys.argv[1])
    with ray_session(Resources(cpus=2, dashboard=True), folder / "logs"):
        LeanTrainer(
            train,
            train_loop_config={"folder": str(folder)},
            torch_config=MeetingConfig(),
            scaling_config=ray.train.ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
            run_config=ray.train.RunConfig(name="r", storage_path=str(folder)),
        ).fit()


if __name__ == "__main__":
    main()
