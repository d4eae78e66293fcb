"""The extraction benchmark on pages with gold text: its scores by hand, and as the command that others call."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parent.parent.parent.parent / "benchmarks"
PAGES = 10


@pytest.mark.parametrize(
    ("texts", "gold", "expected"),
    [
        (["a b c d e"], ["a b c d x"], (1 / 2, 1 / 2, 1 / 2)),
        (["a b c d e", "a b c d"], ["a b c d x", "a b c d e f"], (3 / 4, 5 / 12, 15 / 28)),  # means, then F1
        (["a a a a a"], ["a a a a"], (1 / 2, 1, 2 / 3)),  # as often as it stands there
        (["A, b!"], ["A b"], (1, 1, 1)),  # words only; fewer than four are one shingle
        ([""], [""], (1, 1, 1)),
        ([""], ["a b"], (0, 0, 0)),
        (["a b"], [""], (0, 1, 0)),
    ],
)
def test_shingles(gold_pages: Any, texts: list[str], gold: list[str], expected: tuple[float, ...]) -> None:
    assert gold_pages.by_shingles(texts, gold) == pytest.approx(expected)


def test_any_entry_tells_what_the_gold_is(gold_pages: Any) -> None:
    gold = [{}, {"articleBody": None}, {"articleBody": "a b c d"}]
    assert gold_pages.scored(["", "", "a b c d"], gold) == pytest.approx((1, 1, 1))
    assert gold_pages.scored(["", "x", "a b c d"], gold) == pytest.approx((2 / 3, 1, 4 / 5))
    assert gold_pages.scored(["one  two", "x"], [{"with": ["one two"]}, {"without": ["x"]}]) == (1 / 2, 1, 2 / 3)


def measured(pages: Path, gold: Path) -> subprocess.CompletedProcess[str]:
    command = [BENCHMARKS / "data.py", "--pages", pages, "--gold", gold, "--quick", "--json"]
    return subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_the_command_on_pages_with_bodies(shared_data: Path, tmp_path: Path, gold_pages: Any) -> None:
    folder, pages, gold = shared_data / "trafilatura-eval", tmp_path / "pages.warc.gz", tmp_path / "gold.json"
    _, segments, urls = gold_pages.load(folder / "pages.warc.gz", folder / "gold.json.gz")
    with (folder / "pages.warc.gz").open("rb") as handle:
        starts = [item.offset for item in gold_pages.read_warc(handle, 10 << 20) if getattr(item, "html", None)]
    pages.write_bytes((folder / "pages.warc.gz").read_bytes()[: starts[PAGES]])
    bodies: list[str | None] = [None, *("\n\n".join(one["with"]) for one in segments[1:PAGES])]
    gold.write_text(json.dumps({url: {"articleBody": body} for url, body in zip(urls, bodies, strict=False)}))
    found = measured(pages, gold)
    assert found.returncode == 0, found.stderr
    figures = json.loads(found.stdout.splitlines()[-1])
    assert {"extract_f1_gap", "extract_speedup"} <= figures.keys()
    assert all(isinstance(value, int | float) for value in figures.values())
    assert -1 < figures["extract_f1_gap"] < 1
    assert figures["extract_speedup"] > 0


def test_files_that_are_not_there(tmp_path: Path) -> None:
    there = tmp_path / "gold.json"
    there.write_text("{}")
    for pages, gold, said in ((tmp_path / "p", there, "correct --pages"), (there, tmp_path / "g", "correct --gold")):
        found = measured(pages, gold)
        assert found.returncode == 1
        assert said in found.stderr
        assert "Traceback" not in found.stderr
