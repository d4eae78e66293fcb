"""What stops the stage `dedup`: too many removed, removed pairs that are no copies, clusters that are too large."""

from __future__ import annotations

import json

import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.manifest import FILE_NAME
from crawl2chat.core.run import Run
from crawl2chat.core.settings_data import Dedup
from crawl2chat.pipelines.dedup_report import report, run_report

from .dedup_runs import Documents, Make, dedup, fates, table

pytestmark = pytest.mark.ray


def test_gates_stop_the_stage_with_the_evidence(
    local_ray: None, extracted: Make, pages: Documents, capsys: pytest.CaptureFixture[str]
) -> None:
    """Too many removed, chains that are no copies, and a cluster that is too large; then with the switch."""
    texts = [text for _, text in pages[:40]]
    many = [(f"{copy}-{at}", text) for copy in range(12) for at, text in enumerate(texts)]
    run = extracted("many", many)
    with pytest.raises(
        StageError, match=r"removes 4\d\d of 480 documents of source web[\s\S]*dedup.gates.max_removed="
    ):
        dedup(run)
    assert not (run.stage("dedup") / FILE_NAME).exists()
    switched = run.recipe.model_copy(update={"dedup": Dedup.model_validate({"gates": {"max_removed": 1.0}})})
    assert dedup(Run(switched)).counters["dropped"] > 430

    chain = [(f"{at:03}", chained(at)) for at in range(100)]
    loose = {"verify": "none", "bands": 40, "rows": 2}
    with pytest.raises(StageError, match=r"precision of 0.0\d to 0.\d\d, below dedup.gates.min_precision=0.5"):
        dedup(extracted("chain", chain, dedup=loose | {"gates": {"max_removed": 1.0}}))

    giant = extracted("giant", [*chain, ("copy", chained(7))], dedup=loose | {"gates": {"giant_cluster": 50}})
    manifest = dedup(giant)
    assert manifest.counters["quarantined"] == 100 and manifest.counters["documents"] == 100
    assert [reason for _, reason, _ in fates(giant)] == ["exact_duplicate"]
    [listed] = json.loads((giant.stage("dedup") / "quarantined.json").read_text())
    assert listed["members"] == 100 and len(listed["first_halves_of_doc_ids"]) == 10
    marked = [row for row in table(giant, "clusters").to_pylist() if row["cluster"] == listed["best"]]
    assert len(marked) >= 100 and sum(row["keep"] for row in marked) >= 100
    assert manifest.counters["largest_component"] == 101
    found = report(giant, top=1)
    assert found["quarantined"] == [[listed["best"], 100]] and found["top"][0]["quarantined"]
    assert found["largest_component"] == 101
    assert run_report(giant, top=1, as_json=False) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "members, quarantined: all stay, equal texts excepted" in printed and "largest component: 101" in printed
    assert f"{listed['best']} stays" not in printed and printed.count(listed["best"]) >= 2

    large = extracted("large", chain, dedup=loose | {"gates": {"max_component": 99}})
    with pytest.raises(StageError, match=r"100 documents are connected .* dedup.gates.max_component=99"):
        dedup(large)
    assert not list(large.stage("dedup").glob("fates/*"))


def chained(at: int) -> str:
    """Neighbours have four fifths of their words in common, others less, those far from each other none."""
    return " ".join(f"word{number}" for number in range(20 * at, 20 * at + 200))
