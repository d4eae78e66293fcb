"""Which ends of a job are final, and which another job of the same run may better."""

from __future__ import annotations

import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.pipelines.job_follow import End


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
