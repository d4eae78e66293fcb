"""The verb `crawl2chat plan`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from ..tune.verbs import amount, count

EXAMPLES = """\
  crawl2chat plan recipes/tiny.yaml                        what each stage will take here, by the shipped profile
  crawl2chat plan recipes/tiny.yaml --measure              measure a profile first, on a small sample of the sources
  crawl2chat plan recipes/tiny.yaml --profile profile.json --nodes 8 --cpus 32 --gpus 16 --gpu h100
  crawl2chat plan recipes/common_crawl.yaml --bytes cc=100t --nodes 1000 --cpus 32 --json
"""

Verb = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]


def named_bytes(text: str) -> tuple[str, float]:
    """web=100g as a name and bytes. A type for argparse."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text!r}: give SOURCE=BYTES, such as web=100g")
    return name, amount(value)


def add_plan_verb(verb: Verb) -> None:
    """`verb(name, about, function)` adds a parser to the command line."""
    parser = verb("plan", "what a run will take: time, memory, disk, money, stage by stage; 1 if it does not fit", _run)
    parser.add_argument("recipe", help="a YAML file, or the name of a shipped recipe")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a value; repeatable")
    known = parser.add_mutually_exclusive_group()
    known.add_argument("--profile", type=Path, metavar="P", help="profile.json, or the folder of a finished run")
    known.add_argument("--measure", action="store_true", help="run the recipe on a sample, write profile.json, use it")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where --measure, or --profile RUN, writes its profile"
    )
    parser.add_argument(
        "--sample-bytes",
        type=amount,
        metavar="B",
        help="with --measure: of the sample's input files (5 %%, from 4m to 16m)",
    )
    parser.add_argument(
        "--bytes", type=named_bytes, action="append", default=[], metavar="SOURCE=B",
        help="of a source's input files, as they lie there, where they cannot be listed: web=100t; repeatable",
    )  # fmt: skip
    parser.add_argument("--nodes", type=count, default=1, metavar="N", help="(1)")
    parser.add_argument("--cpus", type=count, metavar="N", help="of a node (this machine's)")
    parser.add_argument("--memory-gb", type=amount, metavar="GB", help="of a node (this machine's; else 4 a CPU)")
    parser.add_argument("--disk-gb", type=amount, metavar="GB", help="free in the storage (this machine's; else any)")
    parser.add_argument("--gpus", type=count, default=0, metavar="N", help="to train on, all nodes together (0)")
    parser.add_argument("--gpu", default="h100", metavar="NAME", help="a100, h100, … (h100)")
    parser.add_argument("--mfu", type=float, default=0.4, metavar="P", help="of the GPUs' peak (0.4)")
    parser.add_argument("--speed", type=amount, default=1.0, metavar="X", help="of a core, of one of the profile (1)")
    parser.add_argument("--prices", type=Path, metavar="FILE", help="YAML (plan/prices.yaml)")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def _run(options: argparse.Namespace) -> int:
    from .plan_verb import run_plan

    return run_plan(options)
