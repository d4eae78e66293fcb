"""The verbs below `crawl2chat data`: what one does with a run's documents besides making them.

`crawl2chat data RECIPE` itself is a stage verb like the others; `crawl2chat data WORD …` is one of these when WORD is.
"""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from .option_types import at_least, share

EXAMPLES = """\
  crawl2chat data stats --run runs/tiny                    what each step left of each source and language
  crawl2chat data inspect --run runs/tiny --stage filter   what was dropped, by which rule, and why
  crawl2chat data inspect --run runs/tiny --kept --n 3     some of what was kept
  crawl2chat data sweep --run runs/tiny                    what other thresholds of the filters would keep
  crawl2chat data sweep --run runs/tiny --rule gopher_quality.min_doc_words --values 10,50,100
  crawl2chat data export --run runs/tiny --out corpus      the kept documents, as parquet
  crawl2chat data train-classifier --run runs/tiny --positive wiki --negative web --out models/quality.bin
"""

Verb = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]


def _export(verb: Verb) -> None:
    parser = verb("data export", "write the documents that a run kept, as parquet or jsonl", _run_export)
    parser.add_argument("--run", required=True, metavar="R", help="folder of the run")
    parser.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new folder")
    parser.add_argument("--format", choices=("parquet", "jsonl"), default="parquet", help="jsonl: gzip, a row a line")


def _run_export(options: argparse.Namespace) -> int:
    from ..core.run import Run
    from .export import run_export

    return run_export(Run.open(options.run), options.out, options.format)


def _train_classifier(verb: Verb) -> None:
    parser = verb("data train-classifier", "train a quality classifier: good texts against raw web", _run_train)
    names = "sources of the run, or .txt, .jsonl, .json, .parquet files: PATH, PATH#COLUMN,COLUMN, PATH#lines"
    parser.add_argument("--run", metavar="R", help="folder of the run whose sources are named")
    parser.add_argument("--positive", nargs="+", required=True, metavar="NAME", help=f"good texts: {names}")
    parser.add_argument("--negative", nargs="+", required=True, metavar="NAME", help="raw web: the same kinds of names")
    parser.add_argument("--out", required=True, type=Path, metavar="MODEL", help="the model; MODEL.json is its report")
    parser.add_argument("--keep-fraction", nargs="+", type=share, default=[], metavar="F", help="for the report")
    parser.add_argument("--form", choices=("common", "plain"), default="common", help="what the model sees of a text")
    parser.add_argument("--held-out", type=share, default=0.1, metavar="SHARE", help="of the documents, for the report")
    parser.add_argument("--max-pieces", type=at_least(2), default=200_000, metavar="N", help="of each class")
    parser.add_argument("--seed", type=int, default=1)


def _run_train(options: argparse.Namespace) -> int:
    from .classifier_verb import train_classifier

    return train_classifier(options)


def _stats(verb: Verb) -> None:
    parser = verb("data stats", "what each step left of each source and language", _run_stats)
    parser.add_argument("--run", required=True, metavar="R", help="folder of the run")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def _run_stats(options: argparse.Namespace) -> int:
    from ..core.run import Run
    from .stats_tables import run_stats

    return run_stats(Run.open(options.run), options.json)


def _inspect(verb: Verb) -> None:
    parser = verb("data inspect", "some kept or dropped documents, with the rule and the measured value", _run_inspect)
    parser.add_argument("--run", required=True, metavar="R", help="folder of the run")
    parser.add_argument("--stage", metavar="S", help="read, extract, language, filter, dedup, …: as in the ledger")
    parser.add_argument("--reason", metavar="W", help="the ledger's word, or how it begins: gopher_short")
    parser.add_argument("--kept", action="store_true", help="documents that are left behind the stage")
    parser.add_argument("--n", type=at_least(1), default=5, metavar="N", help="how many")
    parser.add_argument("--seed", type=int, default=1, help="another one draws others")
    parser.add_argument("--chars", type=at_least(1), default=800, metavar="N", help="of each text")


def _run_inspect(options: argparse.Namespace) -> int:
    from ..core.errors import InputError
    from ..core.run import Run
    from .samples import Choice, run_inspect

    if options.kept and options.reason is not None:
        raise InputError(
            f"--kept and --reason {options.reason}: what is kept has no reason", "leave out one of the two"
        )
    choice = Choice(options.stage, options.reason, options.kept, options.n, options.seed)
    return run_inspect(Run.open(options.run), choice, options.chars)


def _sweep(verb: Verb) -> None:
    parser = verb("data sweep", "what other thresholds of the filters would keep, from the stored scores", _run_sweep)
    parser.add_argument("--run", required=True, metavar="R", help="folder of the run")
    parser.add_argument(
        "--rule", nargs="+", default=["all"], metavar="KEY", help="gopher_quality.min_doc_words, a filter, or all"
    )
    parser.add_argument("--values", metavar="A,B,C", help="thresholds to try; quantiles if left out")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def _run_sweep(options: argparse.Namespace) -> int:
    from ..core.errors import InputError
    from ..core.run import Run
    from .quality.sweep import run_sweep

    try:
        values = [float(one) for one in (options.values or "").split(",") if one]
    except ValueError as error:
        raise InputError(
            f"--values {options.values}: {error}", "give numbers with commas, such as 10,50,100"
        ) from error
    return run_sweep(Run.open(options.run), options.rule, values, options.json)


# the word after `data`, and what adds its parser
WORDS: dict[str, Callable[[Verb], None]] = {
    "export": _export,
    "inspect": _inspect,
    "stats": _stats,
    "sweep": _sweep,
    "train-classifier": _train_classifier,
}


def one_word(argv: Sequence[str], verbs: Collection[str]) -> list[str]:
    """`data WORD …`, `tune WORD …` and the like as one verb, where `verbs` has it: which is how argparse knows them."""
    joined = " ".join(argv[:2])
    return [joined, *argv[2:]] if len(argv) > 1 and joined in verbs else list(argv)


def misspelt(argv: Sequence[str]) -> str | None:
    """The word that `data WORD …` probably means, where WORD is neither one nor a file."""
    if len(argv) < 2 or argv[0] != "data" or argv[1] in WORDS or Path(argv[1]).exists():
        return None
    return next(iter(difflib.get_close_matches(argv[1], WORDS, n=1)), None)


def add_data_verbs(verb: Verb) -> None:
    """`verb(name, about, function)` adds a parser to the command line."""
    for add in WORDS.values():
        add(verb)
