from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.pipelines.sources.crawl.messages import Job, Report
from crawl2chat.pipelines.sources.crawl.schedule import Schedule
from crawl2chat.pipelines.sources.crawl.warc import Location

SEED = "http://a/"


def done(job: Job, *links: str) -> Report:
    return Report(job, "done", status=200, bytes=10, links=list(links), location=Location("s", 0, 1))


def test_a_lease_is_given_once_and_comes_back_when_its_worker_dies(tools: Any, tmp_path: Path) -> None:
    schedule = Schedule(tools.source(SEED, respect_robots=False, per_host=2), [SEED], tmp_path / "f")
    (job,) = schedule.exchange("a", [], 5).jobs
    assert job.url == SEED and schedule.exchange("b", [], 5).jobs == []
    schedule.release("a")
    assert schedule.exchange("b", [], 5).jobs == [job]
    assert schedule.exchange("a", [done(job)], 5).over is False  # a dead worker's report counts no more
    assert schedule.exchange("b", [done(job)], 5).over is True and schedule.status().pages == 1


def test_a_round_is_sorted_and_waits_for_the_one_before(tools: Any, tmp_path: Path) -> None:
    schedule = Schedule(tools.source(SEED, respect_robots=False, per_host=9), [SEED], tmp_path / "f")
    (seed,) = schedule.exchange("a", [], 9).jobs
    jobs = schedule.exchange("a", [done(seed, "http://a/c", "http://a/b", SEED)], 9).jobs
    assert [job.url for job in jobs] == ["http://a/b", "http://a/c"]
    assert schedule.exchange("a", [done(jobs[0], "http://a/0")], 9).jobs == []  # /c is still under way
    assert [job.url for job in schedule.exchange("a", [done(jobs[1])], 9).jobs] == ["http://a/0"]


def test_time_between_requests_counts_from_the_answer(tools: Any, tmp_path: Path) -> None:
    now = [100.0]
    source = tools.source(SEED, "http://a/2", delay=5, per_host=3, respect_robots=False)
    schedule = Schedule(source, list(source.seeds), tmp_path / "f", clock=lambda: now[0])
    (job,) = schedule.exchange("a", [], 9).jobs
    now[0] += 30
    assert schedule.exchange("a", [], 9).jobs == []  # the first is not answered yet
    assert schedule.exchange("a", [done(job)], 9).jobs == []
    now[0] += 4.9
    assert schedule.exchange("a", [], 9).jobs == []
    now[0] += 0.2
    assert len(schedule.exchange("a", [], 9).jobs) == 1


def test_after_a_restart_the_delay_counts_from_the_start(tools: Any, tmp_path: Path) -> None:
    now = [100.0]
    source = tools.source(SEED, delay=5, respect_robots=False)
    first = Schedule(source, [SEED], tmp_path / "f", clock=lambda: now[0])
    (job,) = first.exchange("a", [], 1).jobs
    first.close()
    now[0] += 1
    second = Schedule(source, [SEED], tmp_path / "f", clock=lambda: now[0])
    assert second.exchange("a", [], 1).jobs == []
    now[0] += 5
    assert second.exchange("a", [], 1).jobs == [job]


def test_two_processes_cannot_hold_one_frontier(tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sqlite3

    from crawl2chat.pipelines.sources.crawl import frontier

    first = Schedule(tools.source(SEED), [SEED], tmp_path / "f")
    monkeypatch.setattr(frontier, "BUSY_S", 0.1)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        frontier.Frontier(tmp_path / "f")
    first.close()
    frontier.Frontier(tmp_path / "f").close()


CHILD = """
import sys
from crawl2chat.core.settings_data import CrawlSource
from crawl2chat.pipelines.sources.crawl.messages import Report
from crawl2chat.pipelines.sources.crawl.schedule import Schedule
from pathlib import Path
source = CrawlSource(kind="crawl", name="t", seeds=["http://a/"], delay=0, per_host=3, respect_robots=False)
schedule = Schedule(source, ["http://a/"], Path(sys.argv[1]))
jobs = schedule.exchange("a", [], 9).jobs
links = [f"http://a/{n:03}" for n in range(100)]
while True:
    reports = [Report(job, "done", status=200, bytes=1, links=links if job.url == "http://a/" else []) for job in jobs]
    jobs = schedule.exchange("a", reports, 9).jobs
    print(len(reports), flush=True)
    sys.stdin.readline()
"""


def test_a_killed_frontier_keeps_what_was_reported(tools: Any, tmp_path: Path) -> None:
    """SIGKILL with leases out: reported pages stay done, leased ones are handed out again, none twice."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path / "f")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdin and child.stdout
    reported = 0
    for _ in range(5):
        reported += int(child.stdout.readline())
        child.stdin.write("\n")
        child.stdin.flush()
    reported += int(child.stdout.readline())
    child.send_signal(signal.SIGKILL)
    child.communicate()
    source = tools.source(SEED, per_host=3, respect_robots=False)
    schedule = Schedule(source, [SEED], tmp_path / "f")
    assert schedule.status().pages == reported == 1 + 5 * 3
    orders, seen = schedule.exchange("b", [], 9), []
    while not orders.over:
        seen += [job.url for job in orders.jobs]
        orders = schedule.exchange("b", [done(job) for job in orders.jobs], 9)
    assert seen == [f"http://a/{n:03}" for n in range(15, 100)]
    assert schedule.status().pages == 101
