"""`submit --retries N`: stay with a run until its work is done, submitting it again when a job of it fails.

What another job can change is submitted again: a job that failed, whose driver was killed, or that went down with its
head. What it cannot change is final: a job that succeeded, was stopped, or found its input wrong (exit code 2). A job
that found the run still held, by a driver that was cut off or by the lease of one that died (lease.py), costs no
attempt, for as long as PATIENCE_S. While the cluster does not answer, as when its head starts anew, the policy waits
for it; a job that lived through it is followed on, one that this cluster does not know is submitted again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..core.log import log
from .job_client import connect, out_of_reach
from .job_follow import BUSY, End, say, stay
from .jobs import our_jobs

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

PAUSE_S = 5.0  # before a job is submitted again, and between two looks for a cluster that does not answer
PATIENCE_S = 900.0  # how long a cluster may be away, whose head can be a machine to be ordered anew, or a run be held


def see_through(
    submit: Callable[[JobSubmissionClient], str], run: tuple[str, str], address: str, shown: bool, retries: int
) -> End:
    """The end of the run's last job: submit(client) starts one, at most 1 + retries times.

    run: its name and its storage. Raises what `connect` and `submit` raise at the first attempt, and ConnectionError or
    RuntimeError when the cluster stays away for PATIENCE_S.
    """
    client, patience = connect(address), PATIENCE_S if retries else 0.0
    job, last, busy = submit(client), "", False
    seen = free = time.monotonic()  # when the cluster last answered, and when nobody else held the run
    while True:
        try:
            if not job:
                client = connect(address)
                job = _active(client, run)
            if not job and retries == 0 and not busy:
                return End(last, None, "FAILED", "the cluster has lost it, and it may not be submitted again")
            if not job:
                job = submit(client)
                retries -= not busy
            last, began = job, time.monotonic()
            end = stay(client, job, address, shown)
            busy = end.code == BUSY
            if not busy or time.monotonic() - began > patience:
                free = time.monotonic()
            if end.final or (retries == 0 and not busy) or time.monotonic() - free > patience or not patience:
                return end
            say(f"{job} {end.how}; it is submitted again, {retries} times more at most")
            seen = time.monotonic()
        except Exception as error:
            if job:  # it was followed until now
                seen = free = time.monotonic()
                busy = False
            if not patience or time.monotonic() - seen > patience or not out_of_reach(error):
                raise
            log.info("%s: %s", address, error)
            say(f"{address} does not answer; trying again for {patience / 60:g} minutes at most")
        job = ""
        time.sleep(PAUSE_S)


def _active(client: JobSubmissionClient, run: tuple[str, str]) -> str:
    """The id of the job that works on the run: it outlived the silence, or its submission got no answer. Else ""."""
    return next((job.id for job in our_jobs(client) if job.active and (job.run, job.storage) == run), "")
