"""What Ray Train adds: step times of one job under Ray Train and under torchrun, in turn, and the time to start.

Both run train/worker.py, one thread a worker, sharded, on random tokens: with a worker for each core, and with one core
free for Ray's own processes, a dozen, which need a tenth of it. The figures are ratios of the step times. `start` is
the time from before Ray is started to the end of the first step; torchrun's is counted from its command. `data_wait` is
the share of the time that the first worker waited for batches.

    python -m torch.distributed.run --standalone --nproc-per-node 2 _train_ray.py JOB    one worker of torchrun's
"""

from __future__ import annotations

import os
import pickle
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import _bench
import numpy as np
from _train_side import random_tokens, shard
from crawl2chat.core.settings_guard import SpikeGuard
from crawl2chat.core.settings_model import Model
from crawl2chat.core.settings_optimizer import Optimizer
from crawl2chat.core.settings_training import Resources
from crawl2chat.model.config import ModelConfig
from crawl2chat.train.loader import TokenDataset
from crawl2chat.train.loop import Plan
from crawl2chat.train.metrics import FILE_NAME, read_metrics
from crawl2chat.train.worker import Job, run_training

SHAPE = {"layers": 6, "width": 384, "heads": 6, "kv_heads": 6, "feed_forward": 832, "context": 256}
VOCABULARY, BATCH, WARM_UP = 1024, 8, 5


@dataclass
class Runs:
    """What the runs of one launcher showed."""

    seconds: list[float] = field(default_factory=list)  # of each step behind the warm-up
    waits: list[float] = field(default_factory=list)  # of each such step, the share that waited for data
    starts: list[float] = field(default_factory=list)

    def add(self, run: Callable[[Job], None], job: Job) -> None:
        began = time.perf_counter()
        first: list[float] = []
        done = threading.Event()

        def watch() -> None:
            path = job.folder / FILE_NAME
            while not done.wait(0.02):
                if path.exists() and path.stat().st_size:
                    first.append(time.perf_counter() - began)
                    return

        thread = threading.Thread(target=watch)
        thread.start()
        run(job)
        done.set()
        thread.join()
        rows = [row for row in read_metrics(job.folder) if "tokens_per_second" in row][WARM_UP:]
        self.seconds += [job.plan.batch * job.model.context / row["tokens_per_second"] for row in rows]
        self.waits += [row["data_wait"] for row in rows]
        self.starts += first


def under_ray(resources: Resources, job: Job) -> None:
    from crawl2chat.core.progress import Progress
    from crawl2chat.core.session import ray_session
    from crawl2chat.train.launcher import launch

    with ray_session(resources, job.folder / "logs"), Progress("ray") as progress:
        launch(job, resources, progress)


def under_torchrun(workers: int, job: Job) -> None:
    path = job.folder / "job.pickle"
    path.write_bytes(pickle.dumps(job))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(workers)]
    subprocess.run([*command, __file__, str(path)], check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def measured(quick: bool) -> dict[str, float | None]:
    cores = os.cpu_count() or 1
    figures: dict[str, float | None] = {}
    rows = []
    for name, workers in (("ray_train_overhead", cores), ("ray_train_overhead_with_a_free_core", max(1, cores - 1))):
        ray, torchrun = compared(workers, rounds=1 if quick else 3, steps=15 if quick else 25)
        figures[name] = statistics.median(ray.seconds) / statistics.median(torchrun.seconds)
        figures.setdefault("ray_train_start_s", statistics.median(ray.starts))
        figures.setdefault("data_wait", statistics.median(ray.waits))
        for launcher, runs in (("Ray Train", ray), ("torchrun", torchrun)):
            wait = f"{statistics.median(runs.waits):.2%}"
            step, start = 1000 * statistics.median(runs.seconds), statistics.median(runs.starts)
            rows.append((launcher, workers, step, start, wait))
    _bench.print_table((f"{cores} cores", "workers", "ms a step", "s to the first step", "waits for data"), rows)
    return figures


def compared(workers: int, rounds: int, steps: int) -> tuple[Runs, Runs]:
    """The same job on so many workers, `rounds` times under Ray Train and under torchrun in turn."""
    config = ModelConfig.from_settings(Model(**SHAPE), VOCABULARY)  # pyright: ignore[reportArgumentType]
    ray, torchrun = Runs(), Runs()
    launchers = (
        ("ray", ray, partial(under_ray, Resources(train_workers=workers))),
        ("torchrun", torchrun, partial(under_torchrun, workers)),
    )
    with tempfile.TemporaryDirectory() as temporary, shard(random_tokens({"vocab_size": VOCABULARY})) as paths:
        job = Job(
            folder=Path(temporary),
            model=config,
            plan=Plan(steps, BATCH, 0, guard=SpikeGuard(), log_every=1, validate_every=steps, checkpoint_every=steps),
            optimizer=Optimizer(),
            keep=1,
            open_data=partial(TokenDataset, paths, config.context),
            open_validation=None,
            token_bytes=np.ones(VOCABULARY, dtype=np.int32),
            tokenizer_digest="",
            data_digest="",
            recipe={},
        )
        for number in range(rounds):
            for name, runs, run in launchers:
                folder = Path(temporary) / f"{name}{number}"
                folder.mkdir()
                runs.add(run, replace(job, folder=folder))
    return ray, torchrun


def main() -> None:
    import torch.distributed as dist
    from crawl2chat.train.world import Distributed

    job = pickle.loads(Path(sys.argv[1]).read_bytes())
    dist.init_process_group("gloo")
    run_training(job, Distributed("cpu"))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
