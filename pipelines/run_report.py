"""The report of a run: `crawl2chat report`, and the page that every command keeps current while it works on a run."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from ..core.progress import console
from ..core.run import Run
from ..report.keep import FILE_NAME, Keeper

EXAMPLES = """\
  crawl2chat report --run runs/tiny                        the run as one HTML page: runs/tiny/report.html
  crawl2chat report --run runs/tiny --json                 what the page says, as one JSON object
"""

Verb = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]


def add_report_verb(verb: Verb) -> None:
    """`verb(name, about, function)` adds a parser to the command line."""
    parser = verb("report", "a run as one HTML page: data, training, evaluation, samples, costs", run_report)
    parser.add_argument("--run", required=True, metavar="R", help="folder of the run")
    parser.add_argument("--out", type=Path, metavar="FILE", help="the page (R/report.html)")
    parser.add_argument("--json", action="store_true", help="print what the page says; write only where --out says")


def run_report(options: argparse.Namespace) -> int:
    """Write the page, or print its facts. Raises InputError when there is no run."""
    from ..report.facts import as_json, read_facts
    from ..report.page import write_page
    from .report_corpus import RunCorpus

    run = Run.open(options.run)
    facts = read_facts(run, RunCorpus())
    if options.out or not options.json:
        path = write_page(facts, options.out or run.folder / FILE_NAME)
        if not options.json:
            console.print(str(path), soft_wrap=True, markup=False, highlight=False)
    if options.json:
        print(json.dumps(as_json(facts), ensure_ascii=False))
    return 0


def keep_report(run: Run, stages: Sequence[str]) -> Keeper:
    """The keeper of RUN/report.html, for `with`."""
    found: list[Callable[[], Path]] = []

    def write() -> Path:
        if not found:  # the first time: what it imports can fail too, and must not fail the run
            from ..report.facts import read_facts
            from ..report.page import write_page
            from .report_corpus import RunCorpus

            corpus = RunCorpus()
            found.append(lambda: write_page(read_facts(run, corpus), run.folder / FILE_NAME))
        return found[0]()

    return Keeper(run.folder, stages, write)


def report_path(run: Run) -> Path | None:
    """The page of a run, for the end of its summary; None where it could not be written."""
    path = run.folder / FILE_NAME
    return path if path.is_file() else None
