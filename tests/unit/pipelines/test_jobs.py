"""Which job a name means, the id of a run's next job, the refusal of a second one, and why a job failed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from crawl2chat.cli import main
from crawl2chat.core.errors import BusyError, InputError
from crawl2chat.pipelines.job_status import reason
from crawl2chat.pipelines.jobs import Job, continuing, find_job, next_id, refuse_second

HERE = "http://127.0.0.1:8265"
RUNNING = Job("tiny-0-2", "tiny", "/shared", "run", "RUNNING", "", 200.0, None, "crawl2chat submit tiny")
ENDED = replace(RUNNING, id="tiny-0-1", state="FAILED", started=100.0, ended=160.0)


def test_ids_count_the_attempts_at_a_run() -> None:
    first = next_id("tiny", "/shared", [])
    stem = first.removesuffix("1")
    assert first == "tiny-a4292d39-1"
    assert next_id("tiny", "/shared", [f"{stem}9", first, f"{stem}10", f"{stem}x", "raysubmit_1"]) == f"{stem}11"
    assert next_id("tiny", "/shared", ["tiny-00000000-7"]) == first, "of the same run in another storage"
    assert next_id("tiny", "/other", []) != first
    assert len(next_id("n" * 255, "/shared", [])) < 80, "it names a file"


def test_a_name_means_the_newest_job_of_a_run_and_an_id_that_job() -> None:
    jobs = [RUNNING, ENDED]
    assert find_job(jobs, "tiny", HERE) is RUNNING
    assert find_job(jobs, "tiny-0-1", HERE) is ENDED
    with pytest.raises(InputError, match="no job 'small'") as caught:
        find_job(jobs, "small", HERE)
    assert "runs there: tiny" in caught.value.fix
    assert f"crawl2chat status --address {HERE}" in caught.value.fix


def test_a_second_job_is_refused_while_one_works_on_the_run() -> None:
    with pytest.raises(BusyError, match=r"run /shared/tiny is being worked on by job tiny-0-2 \(RUNNING\)") as caught:
        refuse_second([RUNNING, ENDED], "tiny", "/shared", HERE)
    assert f"crawl2chat logs tiny-0-2 --address {HERE} -f" in caught.value.fix
    assert f"crawl2chat stop tiny-0-2 --address {HERE}" in caught.value.fix
    refuse_second([ENDED], "tiny", "/shared", HERE)
    refuse_second([RUNNING], "tiny", "/other", HERE)
    refuse_second([RUNNING], "small", "/shared", HERE)


def test_what_continues_a_job() -> None:
    assert continuing(RUNNING, HERE) == f"  continue it: crawl2chat submit tiny --address {HERE}"
    assert "same recipe again" in continuing(replace(RUNNING, again=""), HERE)


def test_the_reason_of_a_failure_is_our_last_message() -> None:
    told = "Job entrypoint command failed with exit code 2"
    output = "run small in runs/small\ncrawl2chat: first\ncrawl2chat: no file at x\n  fix: give one\n\n"
    logs = f"{told}, last available logs (truncated to 20,000 chars):\n{output}"
    assert reason(logs) == f"{told}\ncrawl2chat: no file at x\n  fix: give one"
    assert reason(logs.replace("crawl2chat: ", "")) == f"{told}\n  fix: give one"
    assert reason(told) == told


@pytest.mark.parametrize("command", ["status --address {}", "status tiny --address {}", "logs tiny --address {}",
                                     "stop tiny --address {}"])  # fmt: skip
def test_nobody_listens(command: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # else a token at home would switch this process to it
    assert main(command.format("http://127.0.0.1:9").split()) == 2
    told = capfd.readouterr().err
    assert "does not answer" in told
    assert "Traceback" not in told


def test_a_run_here_and_a_cluster_do_not_go_together() -> None:
    assert main(["status", "--run", "runs/tiny", "--address", HERE]) == 2
