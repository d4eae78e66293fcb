"""The command `crawl2chat`. Each verb is a function here that hands over to the package that does the work."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .chat.verbs import EXAMPLES as MODEL_EXAMPLES
from .chat.verbs import add_model_verbs
from .core.errors import Crawl2ChatError, RecipeError
from .core.log import end_logs, log, log_to_terminal
from .core.recipe import load_recipe
from .core.run import Run
from .pipelines.data_verbs import EXAMPLES as DATA_EXAMPLES
from .pipelines.data_verbs import add_data_verbs, misspelt, one_word
from .pipelines.dedup_verbs import add_dedup_verbs
from .pipelines.evaluate_verbs import EXAMPLES as EVALUATE_EXAMPLES
from .pipelines.evaluate_verbs import add_evaluate_verbs
from .pipelines.job_verbs import EXAMPLES as JOB_EXAMPLES
from .pipelines.job_verbs import add_job_verbs, address_option
from .pipelines.run_report import EXAMPLES as REPORT_EXAMPLES
from .pipelines.run_report import add_report_verb
from .pipelines.tokenizer_verbs import add_tokenizer_verbs
from .plan.verbs import EXAMPLES as PLAN_EXAMPLES
from .plan.verbs import add_plan_verb
from .serve.verbs import EXAMPLES as SERVE_EXAMPLES
from .serve.verbs import add_serve_verb
from .tune.verbs import EXAMPLES as TUNE_EXAMPLES
from .tune.verbs import add_tune_verbs

if TYPE_CHECKING:
    from .core.stage import Stage

ABOUT = "From raw web crawl, Wikipedia dumps and books to a language model that chats."
EXAMPLES = f"""examples:
  crawl2chat run recipes/tiny.yaml                         the whole way, from a crawl to a model that answers
  crawl2chat run recipes/tiny.yaml --dry-run               what would run, and why
  crawl2chat run recipes/tiny.yaml --set train.steps=1200  with another setting; only what depends on it runs again
  crawl2chat data recipes/tiny.yaml                        only crawl, extract, filter, deduplicate
{PLAN_EXAMPLES}\
{DATA_EXAMPLES}\
  crawl2chat tokenizer --run runs/tiny                     only the tokenizer and the shards, on what a run has
  crawl2chat tokenizer report --run runs/tiny              bytes per token and unknown characters, by language
  crawl2chat pretrain --run runs/tiny                      only the pretraining, on the shards that a run has
  crawl2chat finetune --run runs/tiny
  crawl2chat align --run runs/tiny                         only the alignment, on the fine-tuned model that a run has
{EVALUATE_EXAMPLES}\
  crawl2chat tune recipes/tiny.yaml                        search learning rates over the scaling table's rows
{TUNE_EXAMPLES}\
  crawl2chat status --run runs/tiny                        what is done, what is out of date
{JOB_EXAMPLES}\
  crawl2chat generate --run runs/tiny "The history of"     continue a text
  crawl2chat chat --run runs/tiny                          ask the aligned or fine-tuned model
{SERVE_EXAMPLES}\
{REPORT_EXAMPLES}\
{MODEL_EXAMPLES}\
  crawl2chat trace --run runs/tiny --step 20 --row 0       from a row of a training batch back to the WARC records
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb. Returns the exit code: 0 done, 1 failed, 2 wrong input, 75 run is busy, 130 interrupted."""
    options = parse(argv)
    log_to_terminal(options.verbose)
    try:
        return options.verb(options)
    except Crawl2ChatError as error:
        log.error("%s", error)
        return error.exit_code
    except BrokenPipeError:  # the reader has gone, as in `crawl2chat generate … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains once more at its exit
        return 1
    except OSError as error:
        log.debug("", exc_info=error)
        log.error("%s\n  fix: see to the file or the disk; the same command continues", error)
        return 1
    except KeyboardInterrupt:
        log.error("interrupted; the same command continues where this one stopped")
        return 130
    finally:
        end_logs()


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line as options; `verb` is the function to call. Exits with 2 where argparse objects."""
    parser = argparse.ArgumentParser(
        prog="crawl2chat", description=ABOUT, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    _stage_verb(verbs, "run", "all stages, from the sources to a model that answers", _run)
    for name, about in (
        ("data", "crawl, extract, filter, deduplicate"),
        ("tokenizer", "train the tokenizer, write the token shards"),
        ("pretrain", "train the language model on the shards"),
        ("finetune", "make question/answer pairs, and tune the model on them and on chat data"),
        ("align", "learn from preferences, or from answers that can be checked"),
    ):
        _stage_verb(verbs, name, about, _group(name))
    _stage_verb(verbs, "tune", "search learning rates over rows of the scaling table", _group("tune", _show_search))
    _stage_verb(
        verbs, "tune verify", "train the target of the forecast, and compare", _group("tune verify", _show_verification)
    )
    _stage_verb(verbs, "tune sweep", "all of a sweep: data, search, laws, forecast, and its verification", _sweep)

    status = _verb(verbs, "status", "what is done in a run, or what our jobs on a Ray cluster do", _status)
    _recipe_options(status, "; with --address the id of a job, or the name of a run")
    address_option(status, more="; shows the jobs there")

    generate = _verb(verbs, "generate", "continue a text with the base model", _generate)
    generate.add_argument("prompt")
    generate.add_argument("--stage", choices=("pretrain", "finetune", "align"), default="pretrain", help="which model")
    _sampling_options(generate)

    chat = _verb(verbs, "chat", "talk with the aligned model, or the fine-tuned one", _chat)
    _sampling_options(chat)

    trace = _verb(verbs, "trace", "from a row of a training batch back to the records it came from", _trace)
    trace.add_argument("--run", required=True, metavar="R", help="folder of the run")
    trace.add_argument("--step", type=int, required=True, metavar="S", help="training step, from 1")
    trace.add_argument("--row", type=int, required=True, metavar="I", help="row of the step's batch, from 0")

    adders = (add_data_verbs, add_dedup_verbs, add_tokenizer_verbs, add_evaluate_verbs, add_tune_verbs, add_model_verbs)
    for add in (*adders, add_serve_verb, add_report_verb, add_job_verbs, add_plan_verb):
        add(lambda name, about, function: _verb(verbs, name, about, function))
    words = sys.argv[1:] if argv is None else argv
    if meant := misspelt(words):
        parser.error(f"data {words[1]}: no such file or verb; did you mean `crawl2chat data {meant}`?")
    return parser.parse_args(one_word(words, verbs.choices))


def _verb(verbs: argparse._SubParsersAction, name: str, about: str, verb: Callable) -> argparse.ArgumentParser:
    examples = [line for line in EXAMPLES.splitlines() if line.startswith(f"  crawl2chat {name} ")]
    epilog = "\n".join(["examples:", *examples]) if examples else None
    parser = verbs.add_parser(
        name, help=about, description=about, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="every log message on the terminal")
    parser.set_defaults(verb=verb)
    return parser


def _stage_verb(verbs: argparse._SubParsersAction, name: str, about: str, verb: Callable) -> None:
    parser = _verb(verbs, name, about, verb)
    _recipe_options(parser)
    parser.add_argument("--dry-run", action="store_true", help="print what would run, and why")


def _recipe_options(parser: argparse.ArgumentParser, more: str = "") -> None:
    parser.add_argument("recipe", nargs="?", help=f"a YAML file, or the name of a shipped recipe{more}")
    parser.add_argument("--run", metavar="R", help="instead of a recipe: the folder of a run, with the recipe in it")
    _set_option(parser)


def _set_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override a value: train.steps=100; repeatable"
    )


def _sampling_options(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", metavar="R", help="folder of the run")
    which.add_argument("--model", type=Path, metavar="M", help="instead of a run: folder of an imported model")
    parser.add_argument("--max-tokens", type=int, metavar="N")
    parser.add_argument("--temperature", type=float, metavar="T", help="0 takes the likeliest token")
    parser.add_argument("--top-k", type=int, metavar="K")
    parser.add_argument("--top-p", type=float, metavar="P")
    parser.add_argument("--seed", type=int, help="instead of the recipe's")


def _open(options: argparse.Namespace) -> Run:
    """The run that --run or the recipe names, with the --set values."""
    if (options.recipe is None) == (options.run is None):
        raise RecipeError(
            "give a recipe or --run FOLDER, one of the two", "for example: crawl2chat run recipes/tiny.yaml"
        )
    if options.run is not None:
        return Run.open(options.run, tuple(options.set))
    return Run(load_recipe(options.recipe, options.set))


def _run(options: argparse.Namespace) -> int:
    from .pipelines.execute import dry_run, execute
    from .pipelines.stages import run_stages
    from .pipelines.summary import print_summary

    run = _open(options)
    stages = run_stages(run.recipe)
    if options.dry_run:
        dry_run(run, stages)
        return 0
    execute(run, stages)
    print_summary(run, [stage.name for stage in stages])
    return 0


def _group(name: str, show: Callable[[Run], None] = lambda run: None) -> Callable[[argparse.Namespace], int]:
    """The verb that runs a group of stages, prints their table, and shows what else came out."""

    def verb(options: argparse.Namespace) -> int:
        from .pipelines.stages import group_stages

        run = _open(options)
        return _bring(run, group_stages(run.recipe, name), options.dry_run, show)

    return verb


def _bring(run: Run, stages: Sequence[Stage], dry: bool, show: Callable[[Run], None]) -> int:
    from .pipelines.execute import dry_run, execute
    from .pipelines.summary import print_table

    if dry:
        dry_run(run, stages)
        return 0
    execute(run, stages)
    print_table(run, [stage.name for stage in stages])
    show(run)
    return 0


def _sweep(options: argparse.Namespace) -> int:
    from .pipelines.stages import sweep_stages

    run = _open(options)
    return _bring(run, sweep_stages(run.recipe), options.dry_run, _show_sweep)


def _show_search(run: Run) -> None:
    from .tune.forecast import print_forecast, read_forecast
    from .tune.results import print_table, read_results

    print_table(read_results(run.stage("tune")))
    if run.recipe.tune.ladder is not None:
        print_forecast(read_forecast(run.stage("forecast")))


def _show_verification(run: Run) -> None:
    from .tune.forecast import print_verification, read_verification

    print_verification(read_verification(run.stage("verify")))


def _show_sweep(run: Run) -> None:
    from .tune.report import read_report
    from .tune.report_page import write_report
    from .tune.report_verb import FOLDER

    _show_search(run)
    if run.recipe.tune.target is not None:
        _show_verification(run)
    page, *_ = write_report(read_report(run), run.folder / FOLDER)
    print(f"the report: {page}")


def _status(options: argparse.Namespace) -> int:
    from .core.stage import plan
    from .pipelines.execute import print_plan
    from .pipelines.stages import all_stages
    from .pipelines.summary import print_table

    if options.address is not None:
        return _job_status(options)
    run = _open(options)
    print_plan(plan(all_stages(run.recipe), run))
    print_table(run, [stage.name for stage in all_stages(run.recipe)])
    return 0


def _job_status(options: argparse.Namespace) -> int:
    from .pipelines.job_status import show_jobs

    if options.run is not None or options.set:
        raise RecipeError(
            "--address shows the jobs of a cluster, --run and --set are about a run's folder here",
            f"for example: crawl2chat status --address {options.address}, or with a job's id before it",
        )
    return show_jobs(options.address, options.recipe)


def _generate(options: argparse.Namespace) -> int:
    from .chat.generate import run_generate

    where = options.model or Run.open(options.run)
    return run_generate(where, options.prompt, stage=options.stage, **_sampling(options))


def _chat(options: argparse.Namespace) -> int:
    from .chat.repl import run_chat

    return run_chat(options.model or Run.open(options.run), **_sampling(options))


def _sampling(options: argparse.Namespace) -> dict[str, int | float]:
    """The sampling options that were given; what was not given is the recipe's."""
    names = ("max_tokens", "temperature", "top_k", "top_p", "seed")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def _trace(options: argparse.Namespace) -> int:
    from .pipelines.tracing import run_trace

    return run_trace(Run.open(options.run), options.step, options.row)


if __name__ == "__main__":
    sys.exit(main())
