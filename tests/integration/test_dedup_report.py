"""`crawl2chat dedup report`: sizes, examples and shares as sets of rows say them, of many files and of none."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.run import Run
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.core.schema import doc_id
from crawl2chat.dedup.dedup_stage import DEDUP
from crawl2chat.pipelines.dedup_report import report, run_report

pytestmark = pytest.mark.ray
Make = Callable[..., Run]


def page(number: int, edits: int = 0) -> str:
    """Lines of words of its own, of which the last so many are others."""
    words = [f"p{number}x{at}" if at < 80 - edits else f"new{number}x{edits}x{at}" for at in range(80)]
    return "\n".join(" ".join(words[at : at + 10]) for at in range(0, 80, 10))


def test_sizes_and_examples_are_those_of_the_clusters(local_ray: None, extracted: Make) -> None:
    """Page 0 has nine copies, page 1 four, 2 to 11 one each, others none; the files hold parts of each cluster."""
    copies = {0: 9, 1: 4} | dict.fromkeys(range(2, 12), 1)
    documents = [
        (f"{number}-{copy}", page(number, edits=copy % 3))
        for number in range(60)
        for copy in range(copies.get(number, 0) + 1)
    ]
    run = extracted("report", documents, units=5)
    list(bring_up_to_date([DEDUP], run, nullcontext))
    found = report(run, top=3)
    rows = pq.read_table(run.stage("dedup") / "clusters").to_pylist()
    sizes = Counter(Counter(row["cluster"] for row in rows).values())
    assert found["sizes"] == sorted(map(list, sizes.items())) == [[2, 10], [5, 1], [10, 1]]
    assert [one["members"] for one in found["top"]] == [10, 5, 2]
    groups = {doc_id("web", key): key.split("-")[0] for key, _ in documents}
    for one in found["top"]:
        assert one["kept"] != one["other"] and groups[one["kept"]] == groups[one["other"]]
        assert {"doc_id": one["kept"], "cluster": one["kept"], "keep": True} in rows
    assert [groups[one["kept"]] for one in found["top"][:2]] == ["0", "1"]
    assert found["sources"] == [["web", len(documents), 23, round(23 / len(documents), 4)]]
    assert sum(point["pairs"] for point in found["curve"]) > 10


def test_an_index_counts_as_a_member(local_ray: None, extracted: Make) -> None:
    """A cluster whose best stands in the index: the report has no text of it, and says so."""
    gates = {"max_removed": 1.0}
    first = extracted("first", [(f"{at}", page(at)) for at in range(5)], dedup={"write_index": True})
    list(bring_up_to_date([DEDUP], first, nullcontext))
    index = str(first.stage("dedup") / "index")
    more = [(f"{at}", page(at)) for at in range(2)] + [("2", page(2)), ("edited", page(2, edits=1))]
    second = extracted("second", more, source="later", dedup={"index": index, "gates": gates})
    list(bring_up_to_date([DEDUP], second, nullcontext))
    found = report(second, top=1)
    assert found["sizes"] == [[2, 2], [3, 1]]
    [largest] = found["top"]
    assert largest["kept"] == doc_id("web", "2") and largest["diff"] == ["(the one that stays is in the index)"]


def test_a_run_without_documents_has_an_empty_report(
    local_ray: None, extracted: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    for units in (0, 2):
        run = extracted(f"none-{units}", [], units=units)
        list(bring_up_to_date([DEDUP], run, nullcontext))
        capsys.readouterr()
        assert run_report(run, top=3, as_json=False) == 0
        assert "16 bands of 6 rows" in capsys.readouterr().out
        assert run_report(run, top=3, as_json=True) == 0
        printed = json.loads(capsys.readouterr().out)
        assert [printed[name] for name in ("sizes", "sources", "curve", "top")] == [[], [], [], []]
        assert printed["precision"]["pairs"] == 0
