"""Our jobs on a cluster: what Ray's job server keeps of them, which one a name means, and the id of the next.

A job is ours when its metadata name a run: `submit` writes them, and so does ray_job.yaml. The id is made of the run's
name, a digest of its folder, and the number of the attempt. Two submissions of one run that race each other therefore
ask for the same id, and Ray, which gives an id away once, refuses the second.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import BusyError, InputError
from ..core.remote_path import path_of

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
NAME_CHARS = 60  # of a run's name in an id, which becomes a file name on the head
MILLISECONDS = 1000


@dataclass(frozen=True)
class Job:
    """One attempt at a run. Times are seconds since 1970, by the cluster's clock."""

    id: str
    run: str
    storage: str
    verb: str
    state: str  # PENDING, RUNNING, or one of ENDED
    message: str
    started: float | None
    ended: float | None
    again: str  # the command that submits the same once more, without the address; "" where nobody wrote it down

    @property
    def active(self) -> bool:
        return self.state not in ENDED

    @property
    def folder(self) -> Path:
        """The run's folder, as the cluster sees it."""
        return path_of(self.storage) / self.run

    @property
    def seconds(self) -> float:
        """How long it has been there, or was."""
        return 0.0 if self.started is None else (self.ended or time.time()) - self.started


def our_jobs(client: JobSubmissionClient) -> list[Job]:
    """All that the cluster remembers, the newest first."""
    found = [_job(details) for details in client.list_jobs() if details.submission_id and _run(details)]
    return sorted(found, key=lambda job: job.started or float("inf"), reverse=True)


def find_job(jobs: Sequence[Job], name: str, address: str) -> Job:
    """The job with this id, else the newest job of the run with this name. Raises InputError when there is none."""
    for matches in ((job for job in jobs if job.id == name), (job for job in jobs if job.run == name)):
        for job in matches:
            return job
    runs = ", ".join(dict.fromkeys(job.run for job in jobs)) or "none"
    raise InputError(
        f"{address} has no job {name!r} of crawl2chat, and no run of this name",
        f"give a job's id or a run's name: crawl2chat status --address {address} lists them (runs there: {runs})",
    )


def refuse_second(jobs: Iterable[Job], run: str, storage: str, address: str) -> None:
    """Raise BusyError while a job works on this run: whatever its verb, it would wait at the run's lock and fail."""
    for job in jobs:
        if job.active and (job.run, job.storage) == (run, storage):
            raise BusyError(
                f"the run {job.folder} is being worked on by job {job.id} ({job.state}) of {address}",
                f"wait for it, or give this run another name with --set name=…\n{commands(job.id, address)}",
            )


def next_id(run: str, storage: str, ids: Iterable[str]) -> str:
    """The id of this run's next job, after those that are taken."""
    stem = f"{run[:NAME_CHARS]}-{hashlib.sha256(f'{storage}/{run}'.encode()).hexdigest()[:8]}-"
    attempts = [one.removeprefix(stem) for one in ids if one.startswith(stem)]
    return f"{stem}{1 + max((int(one) for one in attempts if one.isdigit()), default=0)}"


def commands(job: str, address: str) -> str:
    """The two commands that watch and stop a job."""
    return (
        f"  watch it: crawl2chat logs {job} --address {address} -f\n"
        f"  stop it:  crawl2chat stop {job} --address {address}"
    )


def continuing(job: Job, address: str) -> str:
    """How a job that ended too early is taken up again."""
    if job.again:
        return f"  continue it: {job.again} --address {address}"
    return "  submit the same recipe again: the run continues from what is in its folder"


def _run(details: Any) -> str:
    return (details.metadata or {}).get("run", "")


def _job(details: Any) -> Job:
    """From Ray's JobDetails, whose times are milliseconds."""
    told = details.metadata
    started, ended = (one and one / MILLISECONDS for one in (details.start_time, details.end_time))
    state, message = str(details.status), str(details.message or "")
    names = told["run"], told.get("storage", ""), told.get("verb", "")
    return Job(details.submission_id, *names, state, message, started, ended, told.get("again", ""))
