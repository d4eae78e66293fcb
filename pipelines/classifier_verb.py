"""`crawl2chat data train-classifier`: from names of good and raw texts to a model with its report."""

from __future__ import annotations

import argparse

from ..core.progress import console
from ..core.run import Run
from .classifier_inputs import documents, files_of
from .classifier_pieces import pieces
from .classifier_report import report_lines
from .classifier_training import Training, report_path, train


def train_classifier(options: argparse.Namespace) -> int:
    """Read, train, print the report. Everything that is named is looked up before anything is read."""
    run = Run.open(options.run) if options.run else None
    settings = Training(
        form=options.form,
        held_out=options.held_out,
        max_pieces=options.max_pieces,
        keep_fractions=sorted({*Training().keep_fractions, *options.keep_fraction}),
        seed=options.seed,
    )
    sources = [source.name for source in run.recipe.sources] if run else []
    for name in [*options.positive, *options.negative]:
        if name not in sources:
            files_of(name, run)
    good, raw = (
        {name: pieces(documents(name, run), settings.held_out, settings.max_pieces) for name in names}
        for names in (options.positive, options.negative)
    )
    report = train(good, raw, settings, options.out)
    console.print("\n".join(report_lines(report)), highlight=False, soft_wrap=True)
    console.print(f"\n{options.out}, report in {report_path(options.out)}", soft_wrap=True)
    return 0
