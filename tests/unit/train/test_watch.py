from __future__ import annotations

import time
from pathlib import Path

import pytest
import torch
from crawl2chat.train import peak
from crawl2chat.train.job import Job
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.watch import FIGURES, Watch, without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    return clock


def test_the_time_of_steps_is_that_without_validation_and_checkpoints(clock: Clock) -> None:
    watch = Watch(steps=30, done=10, flops_per_token=1e6, peak=1e9)
    for _ in range(10):
        clock.now += 0.9
        watch.add(80, waited=0.09)
    with watch.validating():
        clock.now += 3
    with watch.saving():
        clock.now += 2
    clock.now += 1
    found = watch.figures(20)
    assert found["tokens_per_second"] == 80 and found["mfu"] == 0.08  # 800 tokens in 10 s
    assert found["data_wait"] == 0.09 and found["checkpoint_stall"] == pytest.approx(2 / 15, rel=1e-3)
    assert found["seconds_left"] == 15 and found["memory_bytes"] > 1 << 20
    clock.now += 4
    watch.add(80, waited=0.0)
    assert watch.figures(21)["tokens_per_second"] == 20 and watch.figures(21)["checkpoint_stall"] == 0


def test_a_run_logs_all_figures(job: Job) -> None:
    run_training(job, World())
    rows = [row for row in read_metrics(job.folder) if "loss" in row]
    assert all(set(FIGURES) <= set(row) for row in rows)
    assert all(0 < row["mfu"] < 1 and 0 <= row["data_wait"] < 1 for row in rows)
    assert rows[-1]["seconds_left"] == 0
    assert set(without_figures(rows[0])) == {"step", "loss", "lr", "grad_norm", "tokens_seen"}


def test_the_peak_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = peak.peak_flops(torch.device("cpu"), "fp32", ranks=1)
    assert first > 1e8

    def fail(*_: object) -> float:
        raise AssertionError("measured again")

    monkeypatch.setattr(peak, "measure", fail)
    assert peak.peak_flops(torch.device("cpu"), "fp32", ranks=1) == first
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)  # another setting is another peak
    with pytest.raises(AssertionError, match="measured again"):
        peak.peak_flops(torch.device("cpu"), "fp32", ranks=1)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "crawl2chat").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert peak.peak_flops(torch.device("cpu"), "fp32", ranks=1) > 1e8
