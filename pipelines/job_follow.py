"""Stay with a job to its end: show its output as it is written, or only wait; then its exit code."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

from ..core.errors import StageError
from ..core.log import log
from ..core.progress import console
from .jobs import commands

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ACTIVATE = (
    "Ray installs the job's wheel with the `pip`, and starts the job with the `python`, that are first on PATH where "
    "`ray start` runs: activate the environment there before it"
)
NOT_FOUND = 127  # what a shell says of a command that it does not have
DETACHED = 130  # as a shell says it of a command that Ctrl-C ended
LOST_AFTER = 10  # failed attempts to reach the cluster, RETRY_S apart, before the follower gives up
RETRY_S = 3.0
LOOK_S = 1.0


def stay(client: JobSubmissionClient, job: str, address: str, shown: bool) -> int:
    """Stay to the job's end, its output shown or not; returns its exit code. Ctrl-C detaches, and the job goes on.

    Raises StageError when the job's command never ran, or was stopped; ConnectionError when the cluster is lost.
    """
    try:
        if shown:
            asyncio.run(_follow(client, job))
        else:
            wait(client, job)
    except KeyboardInterrupt:
        say(f"\ndetached; {job} goes on\n{commands(job, address)}")
        return DETACHED
    return _exit_code(client, job)


def wait(client: JobSubmissionClient, job: str, seconds: float = float("inf")) -> bool:
    """Whether the job has ended, after so many seconds at the latest."""
    failures, deadline = 0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if client.get_job_status(job).is_terminal():
                return True
            failures = 0
        except (OSError, RuntimeError) as error:  # OSError covers what requests raises
            failures = _failed(job, failures, error)
        time.sleep(RETRY_S if failures else LOOK_S)
    return False


async def _follow(client: JobSubmissionClient, job: str) -> None:
    """Write the job's output as it comes, until the job has ended. A broken connection is taken up where it broke."""
    from aiohttp import ClientError

    shown = failures = 0
    while True:
        position = 0
        try:
            async for text in client.tail_job_logs(job):
                fresh = text[max(0, shown - position) :]
                position += len(text)
                shown = max(shown, position)
                sys.stdout.write(fresh)
                sys.stdout.flush()
            if client.get_job_status(job).is_terminal():
                return
            failures = 0
        except BrokenPipeError:  # who reads what we write has gone, not the cluster
            raise
        except (OSError, RuntimeError, ClientError) as error:
            failures = _failed(job, failures, error)
        await asyncio.sleep(RETRY_S if failures else 0.5)


def _failed(job: str, failures: int, error: Exception) -> int:
    """Count a failure to reach the cluster. Raises ConnectionError when they are too many in a row."""
    log.info("following %s: %s", job, error)
    if failures + 1 == LOST_AFTER:
        raise ConnectionError(f"lost while following {job}, which may still run: {error}") from error
    return failures + 1


def _exit_code(client: JobSubmissionClient, job: str) -> int:
    details: Any = client.get_job_info(job)
    if details.driver_exit_code is not None:
        if details.driver_exit_code == NOT_FOUND:
            say(f"the head's shell did not find `python`; {ACTIVATE}")
        return int(details.driver_exit_code)
    if details.status == "STOPPED":
        raise StageError(f"{job} was stopped", "submit the same recipe again: the run continues where it was")
    raise StageError(f"{job} ended as {details.status.value}: {str(details.message).strip()}", ACTIVATE)


def say(text: str) -> None:
    """A line for the terminal, however long."""
    console.print(text, markup=False, soft_wrap=True)
