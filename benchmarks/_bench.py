"""What the benchmarks share: arguments, real documents, timing, the table, and the line of JSON at the end."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("CRAWL2CHAT_SHARED", Path(__file__).resolve().parent.parent.parent / "shared"))


def arguments(description: str | None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--json", action="store_true", help="end with one JSON object of figures on the last line")
    parser.add_argument("--quick", action="store_true", help="less work: under a minute")
    parser.add_argument(
        "--documents",
        type=Path,
        default=SHARED / "data" / "web-text-samples",
        help="folder of .jsonl or .jsonl.gz files with a key text or content (default: %(default)s)",
    )
    return parser


def read_documents(folder: Path, limit: int | None = None) -> list[str]:
    """Texts of a folder's .jsonl and .jsonl.gz files, in the order of their names: the rows' key text or content."""
    found: list[str] = []
    for path in sorted([*folder.rglob("*.jsonl"), *folder.rglob("*.jsonl.gz")]):
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8", "replace")
        rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        found += [one for row in rows if (one := row.get("text") or row.get("content"))]
    if not found:
        sys.exit(f"no documents in {folder}: give a folder of .jsonl files with --documents")
    return found[:limit]


def best_seconds(work: Callable[[], Any], repeats: int) -> float:
    """The shortest of some runs: what other processes take from a run is not the work's."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def print_table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """An aligned table in Markdown, so that docs can quote it as it is."""
    cells = [[*map(str, head)], *([_show(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def finish(figures: dict[str, float | None], as_json: bool) -> None:
    """Print the figures as one JSON object on the last line, if asked for. A peer that is absent gives null."""
    if as_json:
        print(json.dumps({name: value if value is None else float(f"{value:.4g}") for name, value in figures.items()}))


def _show(cell: Any) -> str:
    if cell is None:
        return "absent"
    if isinstance(cell, float):
        return f"{cell:,.0f}" if cell >= 100 else f"{cell:.3g}"
    return str(cell)
