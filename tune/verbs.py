"""The verbs below `crawl2chat tune`: the scaling table, laws, a sweep's report. `tune RECIPE` itself is a stage."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

EXAMPLES = """\
  crawl2chat tune table --gpus 64                          the scaling table: shapes, settings, costs on 64 GPUs
  crawl2chat tune table gpt3-13b llama1-13b --json         two rows of it
  crawl2chat tune table --target-params 1.3b               a new row of so many parameters, by published laws
  crawl2chat tune table --target-flops 1e21 --gpus 16
  crawl2chat tune table --target-hours 24 --gpus 8 --gpu h100
  crawl2chat tune laws --flops 5.76e23                     published laws: the best size and tokens for this compute
  crawl2chat tune verify --run runs/sweep_tiny             train the target of the forecast, and compare
  crawl2chat tune sweep recipes/sweep_tiny.yaml            data, search, laws, forecast, verification: all in one
  crawl2chat tune report --run runs/sweep_tiny             a sweep as one HTML page, with its figures as PNG
"""

Verb = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]
_UNITS = {"k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}


def amount(text: str) -> float:
    """A number above 0, with a unit or without: 125m, 1.3b, 300B, 1e21. A type for argparse."""
    number, unit = (text[:-1], _UNITS[text[-1].lower()]) if text[-1:].lower() in _UNITS else (text, 1.0)
    try:
        value = float(number) * unit
    except ValueError:
        value = 0.0
    if not 0 < value < 1e40:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number above 0, such as 125m, 1.3b or 1e21")
    return value


def count(text: str) -> int:
    """A whole number above 0. A type for argparse."""
    value = amount(text)
    if value != int(value):
        raise argparse.ArgumentTypeError(f"{text!r}: give a whole number")
    return int(value)


def add_tune_verbs(verb: Verb) -> None:
    """`verb(name, about, function)` adds a parser to the command line."""
    _table(verb)
    _laws(verb)
    _report(verb)


def _table(verb: Verb) -> None:
    parser = verb("tune table", "the scaling table, or a new row of it by scaling laws", _run_table)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="only these rows")
    target = parser.add_mutually_exclusive_group()
    target.add_argument("--target-params", type=amount, metavar="N", help="derive a row of so many parameters: 1.3b")
    target.add_argument("--target-flops", type=amount, metavar="C", help="… the best one for so many FLOPs: 1e21")
    target.add_argument("--target-hours", type=amount, metavar="H", help="… for so many hours on --gpus of --gpu")
    parser.add_argument(
        "--laws", type=Path, metavar="FILE", help="of `crawl2chat tune laws --out`; else published ones"
    )
    parser.add_argument("--vocab", type=count, metavar="V", help="of the derived row; else by its size")
    parser.add_argument("--context", type=count, metavar="T", help="of the derived row; else by its size")
    parser.add_argument("--gpus", type=count, default=8, metavar="N", help="that FSDP shards over (8)")
    parser.add_argument("--gpu", default="h100", metavar="NAME", help="a100, h100, …: for hours, and what fits (h100)")
    parser.add_argument("--mfu", type=float, default=0.4, metavar="P", help="of the GPU's peak, for hours (0.4)")
    parser.add_argument("--micro-batch", type=count, default=1, metavar="R", help="rows of a GPU at a time (1)")
    parser.add_argument(
        "--checkpointing", choices=("none", "selective", "full"), default="full", help="of activations (full)"
    )
    parser.add_argument("--json", action="store_true", help="a JSON list instead of tables, bytes as bytes")


def _run_table(options: argparse.Namespace) -> int:
    from .table_verb import run_table

    return run_table(options)


def _laws(verb: Verb) -> None:
    parser = verb("tune laws", "fit scaling laws to measured points, or read published ones", _run_laws)
    source = parser.add_mutually_exclusive_group()
    source.add_argument(
        "--points", type=Path, metavar="FILE", help="CSV or JSON with parameters, tokens, loss: RUN/tune/results.json"
    )
    source.add_argument("--published", choices=("besiroglu", "chinchilla"), default="besiroglu", help="(besiroglu)")
    parser.add_argument(
        "--flops", type=amount, nargs="+", default=[], metavar="C", help="best sizes for these computes"
    )
    parser.add_argument("--draws", type=count, default=200, metavar="N", help="of the bootstrap (200)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write the fitted laws, for `tune table --laws`")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def _run_laws(options: argparse.Namespace) -> int:
    from .laws_verb import run_laws

    return run_laws(options)


def _report(verb: Verb) -> None:
    parser = verb("tune report", "a sweep as one HTML page with its figures, or its numbers as JSON", _run_report)
    parser.add_argument("--run", required=True, metavar="R", help="folder of the run")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="for the page and the PNGs (R/report)")
    parser.add_argument("--json", action="store_true", help="print the numbers; draw only where --out says")


def _run_report(options: argparse.Namespace) -> int:
    from .report_verb import run_report

    return run_report(options)
