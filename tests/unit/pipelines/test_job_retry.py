"""Which ends of a job are final, and which another job of the same run may better."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.pipelines import job_retry
from crawl2chat.pipelines.job_follow import End
from crawl2chat.pipelines.job_retry import see_through


@pytest.mark.parametrize(
    ("code", "state", "final"),
    [
        (0, "SUCCEEDED", True),
        (1, "FAILED", False),
        (2, "FAILED", True),  # wrong input
        (137, "FAILED", False),  # killed
        (75, "FAILED", False),  # another process still holds the run
        (None, "FAILED", False),  # its supervisor died
        (None, "STOPPED", True),
        (130, "RUNNING", True),  # who followed it detached
    ],
)
def test_what_is_submitted_again(code: int | None, state: str, final: bool) -> None:
    assert End("small-1", code, state, "").final is final


def test_the_exit_code_of_the_command_is_that_of_the_job() -> None:
    assert End("small-1", 3, "FAILED", "").exit_code() == 3
    with pytest.raises(StageError, match="small-1 was stopped"):
        End("small-1", None, "STOPPED", "").exit_code()
    with pytest.raises(StageError, match="small-1 ended as FAILED: no node"):
        End("small-1", None, "FAILED", "no node").exit_code()


AWAY = ConnectionError("the head starts anew")


@pytest.mark.parametrize(
    ("ends", "refusals", "retries", "submitted", "ended"),
    [
        ([1, 1, 0], 0, 2, 3, 0),
        ([1, 1, 1], 0, 1, 2, 1),  # the second was the last
        ([1, 75, 75, 0], 0, 1, 4, 0),  # who finds the run held does not count
        ([75], 0, 0, 1, 75),
        ([1, 0], 3, 1, 2, 0),  # nor does a job that the cluster did not take
        ([AWAY, 75, 75, 0], 9, 1, 4, 0),  # the head dies under a job that has run for hours, the run's lease lives on
        ([75, AWAY, 0], 0, 1, 3, 0),
        ([AWAY, AWAY], 0, 1, 2, None),  # the last is lost with its head
    ],
)
def test_how_often_it_is_submitted(
    monkeypatch: pytest.MonkeyPatch,
    ends: list[int | Exception],
    refusals: int,
    retries: int,
    submitted: int,
    ended: int | None,
) -> None:
    """The policy alone, on ends that are given, by a clock that is: test_submit_retries.py has it on a cluster."""
    jobs: list[str] = []
    now = [0.0]
    refused, following = iter([None, *[AWAY] * refusals]), iter(ends)

    def submit(client: Any) -> str:
        if (error := next(refused, None)) is not None:
            raise error
        jobs.append(f"small-{len(jobs) + 1}")
        return jobs[-1]

    def stay(client: Any, job: str, *told: Any) -> End:
        now[0] += 5.0 if (end := next(following)) == 75 else 7200.0
        if isinstance(end, Exception):
            raise end
        return End(job, end, "SUCCEEDED" if end == 0 else "FAILED", "")

    def sleep(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(job_retry, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=sleep))
    monkeypatch.setattr(job_retry, "connect", lambda address: None)
    monkeypatch.setattr(job_retry, "our_jobs", lambda client: [])
    monkeypatch.setattr(job_retry, "stay", stay)
    end = see_through(submit, ("small", "runs"), "http://127.0.0.1:8265", True, retries)
    assert (end.job, end.code) == (jobs[-1], ended)
    assert len(jobs) == submitted


def test_a_cluster_that_stays_away_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    def away(*told: Any) -> Any:
        now[0] += 60.0
        raise AWAY

    monkeypatch.setattr(job_retry, "time", SimpleNamespace(monotonic=lambda: now[0], sleep=lambda seconds: None))
    monkeypatch.setattr(job_retry, "stay", away)
    monkeypatch.setattr(job_retry, "connect", lambda address: away() if now[0] else None)
    with pytest.raises(ConnectionError):
        see_through(lambda client: "small-1", ("small", "runs"), "http://127.0.0.1:8265", True, 3)
    assert now[0] > job_retry.PATIENCE_S
