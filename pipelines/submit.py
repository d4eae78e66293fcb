"""Submit a recipe as a Ray job: the same run, on the cluster that serves `address`.

What travels: this program as a wheel (pipelines/job_wheel.py), and the checked recipe with all its defaults and with
absolute paths. The job runs `python -m crawl2chat run recipe.yaml`, or another of VERBS. The cluster's nodes need the
dependencies, the recipe's input files, and `storage` in a folder that all of them share; they do not need crawl2chat.
"""

from __future__ import annotations

import shlex
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.credentials import masked
from ..core.files import write_text
from ..core.recipe import Recipe, absolute_path, load_recipe
from .job_client import NO_AGENT, connect, job_server
from .job_follow import say
from .job_retry import see_through
from .job_wheel import write_wheel
from .jobs import commands, next_id, our_jobs, refuse_second

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

VERBS = ("run", "data", "tokenizer", "pretrain", "finetune", "align", "evaluate", "tune", "tune sweep", "tune verify")
AGENT_S = 30.0  # for the agent of a head that has just started
TAKEN = "already exists"  # what Ray says of an id that it has given away

Attend = Literal["follow", "wait", "leave"]


def submit(
    recipe_path: str | Path,
    overrides: Iterable[str],
    address: str,
    attend: Attend = "follow",
    verb: str = "run",
    retries: int = 0,
) -> int:
    """Run the recipe on the cluster, or a part of it; return the job's exit code.

    address is that of Ray's dashboard, http://HOST:8265. follow: the job's output appears here as it is written; wait:
    without its output; leave: return 0 as soon as it is submitted. Ctrl-C stops the following, not the job.
    retries: how often this command submits it again when it fails (job_retry.py).

    Raises RecipeError before anything else happens, InputError when the cluster cannot be reached or refuses us,
    BusyError while a job works on the same run there, StageError when the job could not be started.
    """
    overrides = tuple(overrides)
    recipe = travelling(load_recipe(recipe_path, overrides))
    again = _again(recipe_path, overrides, verb)
    with job_server(address), tempfile.TemporaryDirectory(prefix="crawl2chat-job-") as temporary:
        what = _what_runs(Path(temporary), recipe, verb, again)

        def start(client: JobSubmissionClient) -> str:
            job = _start(client, recipe, address, what)
            say(f"submitted {recipe.name} to {address} as {job}; the run's folder is {recipe.folder}")
            return job

        if attend == "leave":
            say(commands(start(connect(address)), address))
            return 0
        run = (recipe.name, recipe.storage)
        return see_through(start, run, address, attend == "follow", retries).exit_code()


def _start(client: JobSubmissionClient, recipe: Recipe, address: str, what: dict[str, Any]) -> str:
    """Submit the job under the run's next id. Raises BusyError when there is a job of this run, or one comes first."""
    taken: list[str] = []
    deadline = time.monotonic() + AGENT_S
    while True:
        jobs = our_jobs(client)
        refuse_second(jobs, recipe.name, recipe.storage, address)
        job = next_id(recipe.name, recipe.storage, [*taken, *(one.id for one in jobs)])
        try:
            return client.submit_job(submission_id=job, **what)
        except RuntimeError as error:
            if NO_AGENT in str(error) and time.monotonic() < deadline:  # the head has only just started
                time.sleep(1.0)
                continue
            if TAKEN not in str(error):
                raise
            taken.append(job)  # by another submission of this run, a moment ago: the list has it now


def _what_runs(folder: Path, recipe: Recipe, verb: str, again: str) -> dict[str, Any]:
    """The job's command, its files, and what is remembered of it."""
    write_text(folder / "job" / "recipe.yaml", recipe.to_yaml())
    return {
        "entrypoint": f"python -m crawl2chat {verb} recipe.yaml",
        "runtime_env": {
            "py_modules": [str(write_wheel(folder))],
            "working_dir": str(folder / "job"),
            "env_vars": {"COLUMNS": str(max(100, shutil.get_terminal_size().columns))},
        },
        "metadata": {"run": recipe.name, "storage": recipe.storage, "verb": verb, "again": again},
    }


def _again(recipe_path: str | Path, overrides: Sequence[str], verb: str) -> str:
    """The command that was given, without credentials, and without the address, which may be another one then."""
    sets = [word for one in overrides for word in ("--set", masked(one))]
    return shlex.join(["crawl2chat", "submit", str(recipe_path), *sets, *(["--verb", verb] if verb != "run" else [])])


def travelling(recipe: Recipe) -> Recipe:
    """The recipe as it must be to mean the same elsewhere: storage by its absolute path, Ray the job's own cluster."""
    resources = recipe.resources.model_copy(update={"address": None})
    return recipe.model_copy(update={"storage": absolute_path(recipe.storage), "resources": resources})
