"""One of two nodes at a fifth of the other's speed, while they deduplicate and train: the result is right, and no task
is lost.

Its processes are stopped and go on, ten times a second: so they have a fifth of the time, whatever they do.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from crawl2chat.cli import main
from crawl2chat.core.manifest import read_manifest

from .raylets import raylets
from .test_failures import check_undisturbed
from .test_network_cut import TRAIN, starts, write_recipe
from .training_run import job_of, play_run

pytestmark = [pytest.mark.ray, pytest.mark.failure]
PERIOD_S, SHARE = 0.1, 0.2
CPU = {"num-cpus": 1, "object-store-memory": 150_000_000}


@contextmanager
def slowed(node: psutil.Process) -> Iterator[set[str]]:
    """Within, the node and all that it starts have a fifth of the time; gives the names that its processes had."""
    over, seen = threading.Event(), set()

    def tell(number: signal.Signals, processes: list[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.Error):
                process.send_signal(number)

    def stop_and_go() -> None:
        while not over.is_set():
            family = [node, *node.children(recursive=True)]
            tell(signal.SIGSTOP, family)
            over.wait(PERIOD_S * (1 - SHARE))
            tell(signal.SIGCONT, family)
            for one in family:
                with suppress(psutil.Error):
                    seen.add(" ".join(one.cmdline()))
            over.wait(PERIOD_S * SHARE)

    thread = threading.Thread(target=stop_and_go)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def test_deduplication_with_a_slow_node(local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["data", "recipe.yaml", "--set", "name=whole"]) == 0
    with raylets() as ray:
        ray.add(**CPU)
        with slowed(ray.add(**CPU)) as seen:
            began = time.monotonic()
            command = [sys.executable, "-m", "crawl2chat", "data", "recipe.yaml", "--set", "name=slow"]
            process = ray.start(command, tmp_path)
            output, _ = process.communicate(timeout=300)
            print(f"dedup with a slow node: {time.monotonic() - began:.0f} s")
    assert process.returncode == 0, output
    assert any("sign_unit" in name or "extract_unit" in name for name in seen), "the slow node had work"
    slow, whole = (read_manifest(tmp_path / "runs" / name / "dedup") for name in ("slow", "whole"))
    assert slow is not None and whole is not None
    assert slow.digest == whole.digest and slow.counters == whole.counters


def test_training_with_a_slow_node(tmp_path: Path, shared_data: Path) -> None:
    with raylets() as ray:
        ray.add(**CPU)
        run = play_run(tmp_path, shared_data, TRAIN | {"steps": 200})
        with slowed(ray.add(**CPU)) as seen:
            began = time.monotonic()
            command = [sys.executable, str(Path(__file__).with_name("driver_run.py")), str(run.folder)]
            process = ray.start(command, tmp_path)
            output, _ = process.communicate(timeout=300)
            print(f"training with a slow node: {time.monotonic() - began:.0f} s")
    assert process.returncode == 0, output
    assert any("RayTrainWorker" in name for name in seen), "the slow node had a worker"
    assert starts(run) == [2], "none of them was given up"
    check_undisturbed(job_of(run), tmp_path / "alone")
