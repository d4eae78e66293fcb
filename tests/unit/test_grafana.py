"""grafana/crawl2chat.json asks for the numbers that the code exports, for all of them, and by labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crawl2chat.core.meters import METERS

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "grafana" / "crawl2chat.json").read_text(encoding="utf-8"))
PREFIX = "ray_"  # which Ray gives to all that it exports


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    """(expression, legend) of each query of each panel."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


def asked(expression: str) -> set[str]:
    """Names in an expression that are not functions, keywords, labels or strings."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\b(by|without)\s*\([^)]*\)", "", bare)
    return set(re.findall(r"\b[a-z][a-z0-9_]*\b(?!\s*[(=!~])", re.sub(r"\[[^\]]*\]", "", bare))) - {"by"}


def test_panels_ask_for_the_numbers_that_the_code_exports_and_for_all_of_them() -> None:
    shown = {name for expression, _ in expressions() for name in asked(expression)}
    assert shown == {PREFIX + name for name in METERS}


def test_labels_are_those_of_the_numbers() -> None:
    for expression, legend in expressions():
        [name] = asked(expression)
        known = set(METERS[name.removeprefix(PREFIX)].labels)
        grouped = {one for found in re.findall(r"by \(([^)]*)\)", expression) for one in found.split(", ")}
        selected = set(re.findall(r'(\w+)\s*=~?\s*"', expression))
        assert grouped <= known and selected == {"run"}, expression
        assert set(re.findall(r"{{(\w+)}}", legend)) <= grouped, legend


def test_counters_are_summed_and_gauges_are_not() -> None:
    """Several commands of a run count on: of a counter each has a series of its own, of a gauge the newest counts."""
    for expression, _ in expressions():
        [name] = asked(expression)
        summed = METERS[name.removeprefix(PREFIX)].kind == "counter"
        assert expression.startswith("sum by" if summed else "max by"), expression


def test_the_dashboard_imports_anywhere() -> None:
    """Its source of data is a variable, as are its runs; panels do not overlap and have ids of their own."""
    assert DASHBOARD["uid"] == "crawl2chat" and "__inputs" not in DASHBOARD
    source, run = DASHBOARD["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert run["definition"] == f"label_values({PREFIX}crawl2chat_progress, run)"
    everything = [*panels(), *(target for panel in panels() for target in panel["targets"])]
    assert {one["datasource"]["uid"] for one in everything} == {"${datasource}"}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells)) and max(x for x, _ in cells) < 24
