"""Which ends of a job are final, and which another job of the same run may better."""

from __future__ import annotations

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
    ("codes", "refusals", "retries", "submitted", "ended"),
    [
        ([1, 1, 0], 0, 2, 3, 0),
        ([1, 1, 1], 0, 1, 2, 1),  # the second was the last
        ([1, 75, 75, 0], 0, 1, 4, 0),  # who finds the run held does not count
        ([75], 0, 0, 1, 75),
        ([1, 0], 3, 1, 2, 0),  # nor a job that the cluster did not take
    ],
)
def test_how_often_it_is_submitted(
    monkeypatch: pytest.MonkeyPatch, codes: list[int], refusals: int, retries: int, submitted: int, ended: int
) -> None:
    """The policy alone, on ends that are given: test_submit_retries.py has it on a cluster."""
    jobs: list[str] = []
    refused = iter([None, *[AWAY] * refusals])

    def submit(client: Any) -> str:
        if (error := next(refused, None)) is not None:
            raise error
        jobs.append(f"small-{len(jobs) + 1}")
        return jobs[-1]

    monkeypatch.setattr(job_retry, "PAUSE_S", 0.0)
    monkeypatch.setattr(job_retry, "connect", lambda address: None)
    monkeypatch.setattr(job_retry, "our_jobs", lambda client: [])
    ends = (End("", code, "SUCCEEDED" if code == 0 else "FAILED", "") for code in codes)
    monkeypatch.setattr(job_retry, "stay", lambda *told: next(ends))
    assert see_through(submit, ("small", "runs"), "http://127.0.0.1:8265", True, retries).code == ended
    assert len(jobs) == submitted
