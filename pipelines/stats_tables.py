"""The tables of `crawl2chat data stats`."""

from __future__ import annotations

import json
from collections import Counter

from rich import box
from rich.table import Table

from ..core.progress import console
from ..core.run import Run
from .stats import EXTRACT_STEPS, SPLITS, Stats, as_json, collect
from .stats_tokens import BYTES_PER_TOKEN
from .summary import TIGHT

LANGUAGES = 10  # of a source that the table shows by name; --json has all


def run_stats(run: Run, json_only: bool) -> int:
    """Print what each step left, as tables or as one JSON object."""
    stats = collect(run)
    if json_only:
        print(json.dumps(as_json(stats), ensure_ascii=False))
        return 0
    console.print(_records(stats))
    console.print(_documents(stats))
    by = "tokens to a byte in the shards" if stats.mixture else f"{BYTES_PER_TOKEN} bytes to a token, no shards yet"
    console.print(f"  ~ estimated by {by}\n", soft_wrap=True)
    if stats.mixture:
        console.print(_mixture(stats, run.recipe.mixture is not None))
    for note in stats.notes:
        console.print(f"  {note}", soft_wrap=True)
    return 0


def _table(title: str, names: list[str], left: int) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, **TIGHT)
    for number, name in enumerate(names):
        table.add_column(name, justify="left" if number < left else "right", no_wrap=True)
    return table


def _records(stats: Stats) -> Table:
    """Records of each source, and how many are left after each step of the stage extract."""
    known = {step for steps in stats.dropped.values() for step in steps}
    steps = [*(step for step in EXTRACT_STEPS if step in known), *sorted(known - set(EXTRACT_STEPS))]
    table = _table("records left by the steps of extract", ["source", "records", *steps], 1)
    for source in sorted(stats.records):
        number = stats.records[source]
        cells = [f"{number:,}"]
        for step in steps:
            number -= stats.dropped[source][step]
            cells.append(f"{number:,}")
        table.add_row(source, *cells)
    return table


def _documents(stats: Stats) -> Table:
    """Documents, and bytes or tokens, of each source and language after each stage: the largest languages, and all."""
    names = ["source", "language", "stage", "documents", "bytes", "tokens"]
    table = _table("documents before the steps of extract, and left by the stages", names, 3)
    for source in sorted({source for source, _ in stats.left}):
        langs = {lang: steps for (name, lang), steps in stats.left.items() if name == source}
        largest = sorted(
            langs, key=lambda lang: (-langs[lang]["extract"]["bytes"], -langs[lang]["before language"]["bytes"], lang)
        )
        for lang in largest[:LANGUAGES]:
            _add(table, stats.steps, source, lang, [langs[lang]])
        if rest := largest[LANGUAGES:]:
            _add(table, stats.steps, source, f"{len(rest)} others", [langs[lang] for lang in rest])
    _add(table, stats.steps, "all", "", list(stats.left.values()))
    return table


def _add(table: Table, steps: list[str], source: str, lang: str, parts: list[dict[str, Counter[str]]]) -> None:
    """A block of rows, one a step, with the sum of the parts."""
    for number, step in enumerate(steps):
        total: Counter[str] = Counter()
        for part in parts:
            total.update(part[step])
        about = f"~{_short(total['tokens_estimated'])}" if total["tokens_estimated"] else ""
        sizes = ("", _short(total["tokens"])) if step in SPLITS else (_short(total["bytes"]), about)
        table.add_row(*((source, lang) if number == 0 else ("", "")), step, f"{total['documents']:,}", *sizes)
    table.add_section()


def _short(number: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"


def _mixture(stats: Stats, mixed: bool) -> Table:
    title = "training by the recipe's mixture" if mixed else "training without a mixture"
    table = _table(title, ["source", "tokens", "epochs a pass", "share of training"], 1)
    for source, numbers in stats.mixture.items():
        cells = (f"{numbers['tokens']:,}", f"{numbers['epochs']:.3g}", f"{numbers['share']:.1%}")
        table.add_row(source, *cells)
    return table
