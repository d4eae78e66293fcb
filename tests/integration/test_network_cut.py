"""The cable between two nodes is cut while they deduplicate and train. Each has a network namespace of its own; the
disk is the same.

Nodes that do not hear of each other for long enough are given up by Ray, and the work goes on on the other. Where Ray
does not give them up, training does: after `resources.collective_seconds`.
"""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from crawl2chat.cli import main
from crawl2chat.core.manifest import read_manifest
from crawl2chat.core.run import Run
from crawl2chat.train.course import read_course

from .namespaces import INTERFACE, Cable, cable
from .raylets import Raylets, raylets
from .test_failures import check_undisturbed, wait_for
from .training_run import job_of, play_run

pytestmark = [pytest.mark.ray, pytest.mark.failure]
FILES, PAGES = 24, 500
HEARD = {  # a node that misses four checks in a row, some eight seconds, is dead for the others
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "4",
}
# That a worker has vanished with its node, a driver that waits for it learns by gRPC's pings alone: Ray sends them
# after 300 s, and waits for 120 s.
PINGS = {"RAY_grpc_client_keepalive_time_ms": "10000", "RAY_grpc_client_keepalive_timeout_ms": "5000"}
PATIENT = {"RAY_health_check_failure_threshold": "1000"}
TRAIN = {
    "steps": 400, "batch": 6, "log_every": 5, "validate_every": 100, "checkpoint_every": 20, "keep_checkpoints": 100,
    "optimizer": {"warmup_steps": 5},
}  # fmt: skip


@pytest.fixture
def laid() -> Iterator[Cable]:
    with cable() as between:
        yield between


class Nodes:
    """A node with a CPU at each end, the head at the first."""

    def __init__(self, between: Cable, ray: Raylets) -> None:
        self.between, self.ray = between, ray
        for ip, prefix in zip(between.ips, between.prefixes, strict=True):
            ray.add(ip, prefix, **{"num-cpus": 1, "object-store-memory": 150_000_000})

    def start(self, command: list[str], folder: Path) -> subprocess.Popen[str]:
        """A driver beside the head."""
        return self.ray.start(command, folder, self.between.prefixes[0])

    def alive(self) -> int:
        """How many nodes the head believes to be there."""
        asked = "import ray; ray.init(logging_level='ERROR'); print('alive:', sum(one['Alive'] for one in ray.nodes()))"
        process = self.start([sys.executable, "-c", asked], self.ray.folder)
        output, _ = process.communicate(timeout=60)  # with warnings of Ray around it
        [found] = re.findall(r"^alive: (\d+)$", output, re.MULTILINE)
        return int(found)


@pytest.fixture
def nodes(laid: Cable) -> Iterator[Callable[..., Nodes]]:
    with raylets(GLOO_SOCKET_IFNAME=INTERFACE) as ray:

        def make(**variables: str) -> Nodes:
            ray.variables |= variables
            return Nodes(laid, ray)

        yield make


def finish(process: subprocess.Popen[str], what: str, since: float) -> str:
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    print(f"{what}: over {time.monotonic() - since:.0f} s after the cut")
    return output


def write_recipe(folder: Path) -> None:
    """recipe.yaml: pages of random words, some of them copies with other words at the begin."""
    dice = random.Random(3)
    texts = [[f"w{dice.randrange(9000)}" for _ in range(300)] for _ in range(FILES * PAGES * 9 // 10)]
    texts += [[f"new{number}", *dice.choice(texts)[1:]] for number in range(FILES * PAGES // 10)]
    dice.shuffle(texts)
    for number in range(FILES):
        rows = [json.dumps({"text": " ".join(words)}) for words in texts[number::FILES]]
        (folder / f"pages-{number:02}.jsonl").write_text("\n".join(rows) + "\n")
    recipe: dict[str, Any] = {
        "name": "cut",
        "storage": "runs",
        "sources": [{"kind": "jsonl", "name": "pages", "paths": ["*.jsonl"]}],
        "language": {"keep": [], "threshold": 0},
        "filters": dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb")),
        "dedup": {"partitions": 6},
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))


@pytest.mark.parametrize("comes_back", [True, False])
def test_deduplication_goes_on_when_a_node_is_cut_off(
    local_ray: None, nodes: Callable[..., Nodes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, comes_back: bool
) -> None:
    write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "recipe.yaml", "--set", "name=whole"]) == 0
    pair = nodes(**HEARD, **({} if comes_back else PINGS))
    process = pair.start([sys.executable, "-m", "crawl2chat", "data", "recipe.yaml"], tmp_path)
    made = tmp_path / "runs" / "cut" / "dedup"
    wait_for(lambda: len(list(made.glob("signatures/units/*.json"))) >= FILES // 4, process)
    pair.between.cut()
    since = time.monotonic()
    assert read_manifest(made) is None
    wait_for(lambda: pair.alive() == 1, process)
    print(f"dedup: the node was given up {time.monotonic() - since:.0f} s after the cut")
    if comes_back:
        pair.between.mend()
    finish(process, "dedup", since)
    found, whole = read_manifest(made), read_manifest(tmp_path / "runs" / "whole" / "dedup")
    assert found is not None and whole is not None
    assert found.digest == whole.digest and found.counters == whole.counters
    assert found.counters["dropped.minhash_duplicate"] > FILES * PAGES // 20


@pytest.fixture
def training(tmp_path: Path, shared_data: Path) -> Callable[..., Run]:
    return lambda **resources: play_run(tmp_path, shared_data, TRAIN, resources={"train_workers": 2, **resources})


def start_training(pair: Nodes, run: Run) -> subprocess.Popen[str]:
    """As far as a checkpoint of two workers."""
    process = pair.start([sys.executable, str(Path(__file__).with_name("driver_run.py")), str(run.folder)], run.folder)
    wait_for((run.stage("pretrain") / "checkpoints" / "step_000040").exists, process)
    return process


def starts(run: Run) -> list[int]:
    """How many workers trained, for each time that they began."""
    return [line["ranks"] for line in read_course(run.stage("pretrain")) if line["what"] == "start"]


def test_training_goes_on_without_a_node_that_is_cut_off(
    nodes: Callable[..., Nodes], training: Callable[..., Run], tmp_path: Path
) -> None:
    run, pair = training(min_train_workers=1, elastic_seconds=5), nodes(**HEARD)
    process = start_training(pair, run)
    pair.between.cut()
    since = time.monotonic()
    wait_for(lambda: starts(run) == [2, 1], process)
    print(f"training: goes on {time.monotonic() - since:.0f} s after the cut")
    pair.between.mend()  # too late: the node has been given up
    finish(process, "training", since)
    assert starts(run) == [2, 1]
    check_undisturbed(job_of(run), tmp_path / "alone")


def test_training_waits_no_longer_for_the_others_than_it_is_told(
    nodes: Callable[..., Nodes], training: Callable[..., Run], tmp_path: Path
) -> None:
    """Ray itself would wait for longer, and torch for ever as long as nothing is heard."""
    run, pair = training(collective_seconds=30), nodes(**PATIENT)
    process = start_training(pair, run)
    pair.between.cut()
    since = time.monotonic()
    time.sleep(50)
    assert pair.alive() == 2 and process.poll() is None
    pair.between.mend()
    finish(process, "training, nobody given up", since)
    assert starts(run) == [2, 2]
    check_undisturbed(job_of(run), tmp_path / "alone")
