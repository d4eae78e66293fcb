"""The verbs for jobs on a cluster: submit, logs, stop. (`status --address` is the fourth, with `status`.)"""

from __future__ import annotations

import argparse
from collections.abc import Callable

from .option_types import at_least

EXAMPLES = """\
  crawl2chat submit recipes/tiny.yaml --address http://127.0.0.1:8265
  crawl2chat status --address http://127.0.0.1:8265        the jobs there, the newest first
  crawl2chat logs tiny --address http://127.0.0.1:8265 -f  follow the newest job of the run tiny
  crawl2chat stop tiny --address http://127.0.0.1:8265     and say what continues it
"""

Verb = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]
WHICH = "id of a job, or the name of a run: its newest job"


def add_job_verbs(verb: Verb) -> None:
    """`verb(name, about, function)` adds a parser to the command line."""
    submit = verb("submit", "run a recipe as a job on a Ray cluster", _submit)
    submit.add_argument("recipe", help="a YAML file, or the name of a shipped recipe")
    address_option(submit, required=True)
    submit.add_argument(
        "--verb",
        dest="job_verb",
        default="run",
        metavar="V",
        help="what to run of the recipe: run, tune sweep, … (run)",
    )
    attend = submit.add_mutually_exclusive_group()
    for flag, value, about in (
        ("--wait", "wait", "wait for its end without showing its output; its exit code is that of this command"),
        ("--no-follow", "leave", "return when the job is submitted"),
    ):
        attend.add_argument(flag, dest="attend", action="store_const", const=value, default="follow", help=about)
    submit.add_argument(
        "--retries",
        type=at_least(0),
        default=0,
        metavar="N",
        help="submit it again, up to N times, when it fails or its head dies, as long as this command runs (0)",
    )
    submit.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value: train.steps=100; repeatable"
    )

    logs = verb("logs", "the output of a job on a Ray cluster", _logs)
    logs.add_argument("job", help=WHICH)
    address_option(logs, required=True)
    logs.add_argument("-f", "--follow", action="store_true", help="until the job ends; then its exit code")

    stop = verb("stop", "end a job on a Ray cluster", _stop)
    stop.add_argument("job", help=WHICH)
    address_option(stop, required=True)


def address_option(parser: argparse.ArgumentParser, required: bool = False, more: str = "") -> None:
    """--address, as all verbs for jobs have it."""
    about = f"of the Ray dashboard: http://HOST:8265{more}"
    parser.add_argument("--address", required=required, metavar="URL", help=about)


def _submit(options: argparse.Namespace) -> int:
    from ..core.errors import RecipeError
    from .submit import VERBS, submit

    if options.job_verb not in VERBS:
        raise RecipeError(f"--verb {options.job_verb!r} is none of a recipe's", f"one of: {', '.join(VERBS)}")
    if options.retries and options.attend == "leave":
        raise RecipeError(
            "--retries does not go with --no-follow: this command would not see the job fail", "leave one of them out"
        )
    return submit(options.recipe, options.set, options.address, options.attend, options.job_verb, options.retries)


def _logs(options: argparse.Namespace) -> int:
    from .job_status import show_logs

    return show_logs(options.job, options.address, options.follow)


def _stop(options: argparse.Namespace) -> int:
    from .job_status import stop

    return stop(options.job, options.address)
