"""The verbs `crawl2chat dedup`, `dedup report` and `dedup curve`."""

from __future__ import annotations

import argparse
from pathlib import Path

from .data_verbs import Verb


def _add(verb: Verb) -> None:
    parser = verb("dedup", "deduplicate a run against the index of an earlier one", _run_add)
    parser.add_argument("--index", required=True, type=Path, metavar="I", help="RUN/dedup/index of an earlier run")
    parser.add_argument("--add", required=True, metavar="NEW", help="folder of the run with the new documents")
    parser.add_argument(
        "--known", choices=("refuse", "drop"), help="documents whose doc_id the index has; else as the run"
    )
    parser.add_argument("--no-write", action="store_true", help="write no index that holds the new documents too")


def _run_add(options: argparse.Namespace) -> int:
    from ..core.run import Run
    from .execute import execute
    from .stages import all_stages
    from .summary import print_table

    values = (f"dedup.index={options.index.absolute()}", f"dedup.write_index={str(not options.no_write).lower()}")
    run = Run.open(options.add, (*values, *((f"dedup.known={options.known}",) if options.known else ())))
    stages = [stage for stage in all_stages(run.recipe) if stage.name in ("crawl", "extract", "dedup")]
    execute(run, stages)
    print_table(run, [stage.name for stage in stages])
    return 0


def _report(verb: Verb) -> None:
    parser = verb("dedup report", "clusters, their members' differences, sources, the S-curve as measured", _run_report)
    parser.add_argument("--run", required=True, metavar="R", help="folder of the run")
    parser.add_argument("--top", type=int, default=3, metavar="N", help="clusters to show")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def _run_report(options: argparse.Namespace) -> int:
    from ..core.run import Run
    from .dedup_report import run_report

    return run_report(Run.open(options.run), options.top, options.json)


def _curve(verb: Verb) -> None:
    parser = verb("dedup curve", "bands and rows for a target, and the S-curve of any", _run_curve)
    parser.add_argument("--threshold", type=float, default=0.8, metavar="S", help="similarity")
    parser.add_argument("--recall", type=float, default=0.99, metavar="P", help="of pairs at the threshold")
    parser.add_argument("--max-hashes", type=int, default=128, metavar="N", help="bands × rows at most")
    parser.add_argument("--bands", type=int, metavar="B", help="with --rows: instead of a target")
    parser.add_argument("--rows", type=int, metavar="R")


def _run_curve(options: argparse.Namespace) -> int:
    from pydantic import ValidationError

    from ..core.errors import InputError
    from ..core.settings_data import Dedup
    from .dedup_report import print_curve

    names = ("threshold", "recall", "max_hashes", "bands", "rows")
    try:
        settings = Dedup.model_validate({name: getattr(options, name) for name in names})
    except ValidationError as error:
        raise InputError(error.errors()[0]["msg"].removeprefix("Value error, "), "give other numbers") from error
    print_curve(settings)
    return 0


def add_dedup_verbs(verb: Verb) -> None:
    """`verb(name, about, function)` adds a parser to the command line."""
    for add in (_add, _report, _curve):
        add(verb)
