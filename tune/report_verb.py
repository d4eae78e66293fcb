"""`crawl2chat tune report`: a finished sweep as a page with figures, or its numbers as JSON."""

from __future__ import annotations

import argparse
import json

from ..core.log import log
from ..core.progress import console
from ..core.run import Run
from .report import numbers, read_report

FOLDER = "report"  # below the run's


def run_report(options: argparse.Namespace) -> int:
    """Write the page, or with --json print the numbers and write only where --out says. Raises InputError."""
    run = Run.open(options.run)
    report = read_report(run)
    if options.out or not options.json:
        from .report_page import write_report

        paths = write_report(report, options.out or run.folder / FOLDER)
        if not options.json:
            for path in paths:
                console.print(str(path), soft_wrap=True, markup=False, highlight=False)
    if options.json:
        print(json.dumps(numbers(report)))
        return 0
    for words in report.warnings:
        log.warning("%s", words)
    return 0
