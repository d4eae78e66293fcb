"""Trains a run, whose folder is given, on a cluster of two nodes of this machine; orders come by standard input.

kill: the second node's raylet. drain: notice that the second node goes in 30 seconds. add: another node. hurry: batches
come at once, not one in 0.15 seconds.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import ray
from crawl2chat.core.progress import Progress
from crawl2chat.core.run import Run
from crawl2chat.core.settings_training import Resources
from crawl2chat.train.launcher import launch
from crawl2chat.train.loader import TokenDataset
from ray.cluster_utils import Cluster
from training_run import job_of

SECONDS = 0.15


class Slow(TokenDataset):
    """Rows that take their time until a file is there: so a run lasts as long as what is to happen to it.

    Each start of a worker notes in a file below read/ which rows it was asked for: a line a batch.
    """

    def __init__(self, paths: list[Path], context: int, folder: Path) -> None:
        super().__init__(paths, context)
        self.hurry, self.notes = folder / "hurry", folder / "read" / uuid.uuid4().hex
        self.notes.parent.mkdir(exist_ok=True)

    def batch(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with self.notes.open("a") as file:
            file.write(json.dumps(indices.tolist()) + "\n")
        if not self.hurry.exists():
            time.sleep(SECONDS)
        return super().batch(indices)


def main(folder: str) -> None:
    run = Run.open(folder)
    job = job_of(run)
    paths = run.need("shards").paths(run.stage("shards"), "train/")
    job = replace(job, open_data=lambda: Slow(paths, job.model.context, run.folder))
    resources = Resources(train_workers=2, min_train_workers=1, elastic_seconds=2, max_failures=5)
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 150_000_000, "include_dashboard": False},
    )
    second = cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
    ray.init(address=cluster.address, logging_level=logging.WARNING)
    job.folder.mkdir(parents=True, exist_ok=True)
    failed: list[BaseException] = []

    def train() -> None:
        try:
            launch(job, resources, Progress("pretrain"))
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=train, daemon=True)
    thread.start()
    for order in sys.stdin:  # Ray adds nodes in the main thread alone
        if order.strip() == "kill":
            cluster.remove_node(second, allow_graceful=False)
        elif order.strip() == "drain":
            notice = ["--node-id", second.node_id, "--reason", "DRAIN_NODE_REASON_PREEMPTION"]
            notice += ["--reason-message", "a test", "--deadline-remaining-seconds", "30"]
            script = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", "--address", cluster.address]
            subprocess.run([*script, *notice], check=True)
        elif order.strip() == "add":
            cluster.add_node(num_cpus=1, object_store_memory=100_000_000)
        else:
            (run.folder / "hurry").touch()
            break
    thread.join()
    ray.shutdown()
    cluster.shutdown()
    if failed:
        raise failed[0]


if __name__ == "__main__":
    main(sys.argv[1])
