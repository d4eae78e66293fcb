"""course.jsonl: what the metrics do not tell, as they read like those of an undisturbed run."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from crawl2chat.train.course import add_start, read_course
from crawl2chat.train.job import Job
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World


class Stop(Exception):
    pass


def test_starts_and_checkpoints_stand_with_their_times(job: Job) -> None:
    def stop(checkpoint: Path, row: dict[str, object]) -> None:
        if checkpoint.name == "step_000008":
            raise Stop

    before = time.time()
    with pytest.raises(Stop):
        run_training(job, World(), stop)
    run_training(job, World())
    found = read_course(job.folder)
    assert [(line["what"], line["step"]) for line in found] == [
        ("start", 0),
        ("checkpoint", 8),
        ("start", 8),
        ("checkpoint", 16),
        ("checkpoint", 20),
    ]
    times = [line["time"] for line in found]
    assert before - 1 < times[0] and times == sorted(times) and times[-1] < time.time() + 1


def test_a_line_that_a_kill_cut_is_passed_over(tmp_path: Path) -> None:
    assert read_course(tmp_path) == []
    add_start(tmp_path, 0, 1)
    with (tmp_path / "course.jsonl").open("a") as file:
        file.write('{"what": "sta\n[]\n')
    add_start(tmp_path, 5, 1)
    assert [line["step"] for line in read_course(tmp_path)] == [0, 5]
