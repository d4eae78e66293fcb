"""Submit a recipe as a Ray job: the same run, on the cluster that serves `address`.

What travels: this program as a wheel (pipelines/job_wheel.py), and the checked recipe with all its defaults and with
absolute paths. The job runs `python -m crawl2chat run recipe.yaml`, or another of
VERBS. The cluster's nodes need the dependencies, the
recipe's input files, and `storage` in a folder that all of them share; they do not need crawl2chat.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.errors import StageError
from ..core.files import write_text
from ..core.log import log
from ..core.progress import console
from ..core.recipe import Recipe, absolute_path, load_recipe
from .job_client import connect, job_server
from .job_wheel import write_wheel

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

VERBS = ("run", "data", "tokenizer", "pretrain", "finetune", "align", "evaluate", "tune", "tune sweep", "tune verify")
ACTIVATE = (
    "Ray installs the job's wheel with the `pip`, and starts the job with the `python`, that are first on PATH where "
    "`ray start` runs: activate the environment there before it"
)
NOT_FOUND = 127  # what a shell says of a command that it does not have
DETACHED = 130  # as a shell says it of a command that Ctrl-C ended
LOST_AFTER = 10  # failed attempts to reach the cluster, RETRY_S apart, before the follower gives up
RETRY_S = 3.0


def submit(
    recipe_path: str | Path, overrides: Iterable[str], address: str, follow: bool = True, verb: str = "run"
) -> int:
    """Run the recipe on the cluster, or a part of it; return the job's exit code (0 at once, with follow=False).

    address is that of Ray's dashboard, http://HOST:8265. With `follow` the job's output appears here as it is written;
    Ctrl-C stops the following, not the job. Raises RecipeError before anything else happens, InputError when the
    cluster cannot be reached or refuses us, StageError when the job could not be started there.
    """
    recipe = travelling(load_recipe(recipe_path, overrides))
    with job_server(address):
        client = connect(address)
        with tempfile.TemporaryDirectory(prefix="crawl2chat-job-") as temporary:
            working_dir = Path(temporary) / "job"
            write_text(working_dir / "recipe.yaml", recipe.to_yaml())
            wheel = write_wheel(Path(temporary))
            job = client.submit_job(
                entrypoint=f"python -m crawl2chat {verb} recipe.yaml",
                runtime_env={
                    "py_modules": [str(wheel)],
                    "working_dir": str(working_dir),
                    "env_vars": {"COLUMNS": str(max(100, shutil.get_terminal_size().columns))},
                },
                metadata={"run": recipe.name},
            )
        _say(f"submitted {recipe.name} to {address} as {job}; the run's folder is {recipe.folder}")
        if not follow:
            _say(_commands(job, address))
            return 0
        try:
            asyncio.run(_follow(client, job))
        except KeyboardInterrupt:
            _say(f"\ndetached; {job} goes on\n{_commands(job, address)}")
            return DETACHED
        return _exit_code(client, job)


def travelling(recipe: Recipe) -> Recipe:
    """The recipe as it must be to mean the same elsewhere: storage by its absolute path, Ray the job's own cluster."""
    resources = recipe.resources.model_copy(update={"address": None})
    return recipe.model_copy(update={"storage": absolute_path(recipe.storage), "resources": resources})


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
        except (OSError, RuntimeError, ClientError) as error:  # OSError covers what requests raises
            failures += 1
            log.info("following %s: %s", job, error)
            if failures == LOST_AFTER:
                raise ConnectionError(f"lost while following {job}, which may still run: {error}") from error
        await asyncio.sleep(RETRY_S if failures else 0.5)


def _exit_code(client: JobSubmissionClient, job: str) -> int:
    """The exit code of the job's command. Raises StageError when the command never ran, or was stopped."""
    details: Any = client.get_job_info(job)
    if details.driver_exit_code is not None:
        if details.driver_exit_code == NOT_FOUND:
            _say(f"the head's shell did not find `python`; {ACTIVATE}")
        return int(details.driver_exit_code)
    if details.status == "STOPPED":
        raise StageError(f"{job} was stopped", "submit the same recipe again: the run continues where it was")
    raise StageError(f"{job} ended as {details.status.value}: {str(details.message).strip()}", ACTIVATE)


def _say(text: str) -> None:
    console.print(text, markup=False, soft_wrap=True)


def _commands(job: str, address: str) -> str:
    ray = "RAY_AUTH_MODE=token ray" if os.environ.get("RAY_AUTH_MODE") == "token" else "ray"
    return (
        f"  watch it: {ray} job logs --address {address} --follow {job}\n"
        f"  stop it:  {ray} job stop --address {address} {job}"
    )
