"""The verb `crawl2chat tokenizer report`: how well a run's vocabulary fits languages."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from .data_verbs import Verb


def _report(verb: Verb) -> None:
    parser = verb("tokenizer report", "bytes per token and unknown characters, by language", _run_report)
    parser.add_argument("--run", required=True, metavar="R", help="folder of the run")
    parser.add_argument(
        "--texts",
        nargs="+",
        default=[],
        metavar="NAME=FILE",
        help="measure on these text files instead of the run's documents, a row for each name",
    )
    parser.add_argument("--json", action="store_true", help="a JSON list instead of a table")


def _run_report(options: argparse.Namespace) -> int:
    from ..core.run import Run

    run = Run.open(options.run)
    folder = run.stage("tokenizer")
    rows = _of_files(folder / "tokenizer.json", options.texts) if options.texts else _written(folder / "fertility.json")
    if options.json:
        print(json.dumps(rows, ensure_ascii=False))
    else:
        _print(rows)
    return 0


def _written(path: Path) -> list[dict[str, Any]]:
    """What the stage wrote beside its tokenizer."""
    from ..core.errors import InputError

    try:
        return json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(
            f"no report at {path}: {error.strerror}", "run the stage first: crawl2chat tokenizer --run FOLDER"
        ) from error


def _of_files(tokenizer: Path, named: list[str]) -> list[dict[str, Any]]:
    from ..core.errors import InputError
    from ..tokenize.bpe import Tokenizer
    from ..tokenize.fertility import count, rates

    loaded = Tokenizer.load(tokenizer)
    counters: Counter[str] = Counter()
    for one in named:
        name, equals, file = one.partition("=")
        if not equals or not name:
            raise InputError(f"--texts {one} is not of the form NAME=FILE", "for example --texts de=german.txt")
        try:
            text = Path(file).read_text("utf-8", "replace")
        except OSError as error:
            raise InputError(f"--texts {one}: {error.strerror}", "give a text file in UTF-8") from error
        counters.update(count(loaded, [name], [text]))
    return rates(counters)


def _print(rows: list[dict[str, Any]]) -> None:
    from rich import box
    from rich.table import Table

    from ..core.progress import console

    table = Table("language", box=box.SIMPLE_HEAD)
    for head in ("documents", "bytes", "bytes per token", "unknown"):
        table.add_column(head, justify="right")
    for row in rows:
        numbers = (f"{row['documents']:,}", f"{row['bytes']:,}", f"{row['fertility']:.2f}", f"{row['unknown']:.2%}")
        table.add_row(row["language"], *numbers)
    console.print(table)


def add_tokenizer_verbs(verb: Verb) -> None:
    """`verb(name, about, function)` adds a parser to the command line."""
    _report(verb)
