"""Stay with a job to its end: show its output as it is written, or only wait; then its exit code."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..core.errors import BusyError, StageError
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
WRONG_INPUT = 2  # core/errors.py
BUSY = BusyError.exit_code
DETACHED = 130  # as a shell says it of a command that Ctrl-C ended
UNKNOWN = "does not exist"  # what Ray says of a job's id that it has not given away
LOST_AFTER = 10  # failed attempts to reach the cluster, RETRY_S apart, before the follower gives up
RETRY_S = 3.0
LOOK_S = 1.0


@dataclass(frozen=True)
class End:
    """How a job ended, or that who followed it detached."""

    job: str
    code: int | None  # the exit code of its command; None: it did not come to an end of its own
    state: str
    message: str

    @property
    def final(self) -> bool:
        """Whether another job of the same run would end no better."""
        return self.state == "STOPPED" or self.code in (0, WRONG_INPUT, DETACHED)

    @property
    def how(self) -> str:
        return f"ended with exit code {self.code}" if self.code is not None else f"ended as {self.state}"

    def exit_code(self) -> int:
        """That of the job's command. Raises StageError when it never ran, or was stopped."""
        if self.code is not None:
            if self.code == NOT_FOUND:
                say(f"the head's shell did not find `python`; {ACTIVATE}")
            return self.code
        if self.state == "STOPPED":
            raise StageError(f"{self.job} was stopped", "submit the same recipe again: the run continues where it was")
        raise StageError(f"{self.job} ended as {self.state}: {self.message}", ACTIVATE)


def stay(client: JobSubmissionClient, job: str, address: str, shown: bool) -> End:
    """Stay to the job's end, its output shown or not. Ctrl-C detaches, and the job goes on.

    Raises ConnectionError when the cluster is lost.
    """
    try:
        if shown:
            asyncio.run(_follow(client, job))
        else:
            wait(client, job)
    except KeyboardInterrupt:
        say(f"\ndetached; {job} goes on\n{commands(job, address)}")
        return End(job, DETACHED, "RUNNING", "")
    told: Any = client.get_job_info(job)
    return End(job, told.driver_exit_code, told.status.value, str(told.message).strip())


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
    """Count a failure to reach the cluster. Raises ConnectionError after too many, and when it is another cluster."""
    log.info("following %s: %s", job, error)
    if UNKNOWN in str(error):
        raise ConnectionError(f"{job} is gone: the cluster's head has started anew") from error
    if failures + 1 == LOST_AFTER:
        raise ConnectionError(f"lost while following {job}, which may still run: {error}") from error
    return failures + 1


def say(text: str) -> None:
    """A line for the terminal, however long."""
    console.print(text, markup=False, soft_wrap=True)
