"""What `status --address`, `logs` and `stop` do: our jobs on a cluster as a table, one job's output, its end."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime

from ..core.errors import StageError
from ..report.words import duration
from .job_client import connect, job_server
from .job_follow import say, stay, wait
from .jobs import Job, commands, continuing, find_job, our_jobs

HEAD = ("job", "run", "verb", "state", "since", "duration")
LOGS = ", last available logs (truncated to 20,000 chars):\n"  # between Ray's own words and the end of a job's output
OURS = "crawl2chat: "  # begins our messages on a terminal (core/log.py)
LINES = 6  # of a message in the table
STOP_S = 120.0  # Ray kills a job that has not ended three seconds after it was asked to


def show_jobs(address: str, name: str | None = None) -> int:
    """The table of all our jobs, or of the one that `name` means, with what can be done about it."""
    with job_server(address):
        jobs = our_jobs(connect(address))
    if name is None:
        print_jobs(jobs)
        return 0
    job = find_job(jobs, name, address)
    print_jobs([job])
    say(f"the run's folder: {job.folder}")
    if job.active:
        say(commands(job.id, address))
    elif job.state != "SUCCEEDED":
        say(continuing(job, address))
    return 0


def show_logs(name: str, address: str, follow: bool) -> int:
    """A job's output so far, and 0; with `follow` its output to its end, and its exit code."""
    with job_server(address):
        client = connect(address)
        job = find_job(our_jobs(client), name, address)
        if follow:
            return stay(client, job.id, address, shown=True).exit_code()
        output = client.get_job_logs(job.id)
    sys.stdout.write(output)
    return 0


def stop(name: str, address: str) -> int:
    """End a job, wait until it has ended, and say what continues it. Raises StageError when it does not end."""
    with job_server(address):
        client = connect(address)
        job = find_job(our_jobs(client), name, address)
        if not job.active:
            say(f"{job.id} has ended before, as {job.state}")
            return 0
        client.stop_job(job.id)
        if not wait(client, job.id, STOP_S):
            raise StageError(
                f"{job.id} was asked to stop, and has not ended within {STOP_S:g} s",
                f"see crawl2chat status {job.id} --address {address}, and the node that its driver runs on",
            )
        say(f"{job.id} ended as {client.get_job_status(job.id)}\n{continuing(job, address)}")
    return 0


def print_jobs(jobs: Sequence[Job]) -> None:
    """A line for each, as wide as it must be; below, why the failed ones failed."""
    if not jobs:
        say("no job of crawl2chat there")
        return
    rows = [HEAD, *(_row(job) for job in jobs)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
    for row in rows:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for job in jobs:
        if job.state == "FAILED":
            say(f"{job.id}: {reason(job.message)}")


def reason(message: str) -> str:
    """Why a job failed, from what Ray keeps: its own words, and the last message of ours in the job's output."""
    told, _, logs = message.partition(LOGS)
    lines = [line for line in logs.splitlines() if line.strip()]
    ours = [at for at, line in enumerate(lines) if line.startswith(OURS)]
    return "\n".join([told.strip(), *lines[ours[-1] if ours else -1 :][:LINES]])


def _row(job: Job) -> tuple[str, ...]:
    since = "" if job.started is None else f"{datetime.fromtimestamp(job.started):%Y-%m-%d %H:%M:%S}"
    return job.id, job.run, job.verb, job.state, since, duration(job.seconds)
