"""The simulation of a large cluster, by hand. integration/test_scale.py: on real runs."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.recipe import Recipe

BENCHMARKS = Path(__file__).parent.parent.parent.parent / "benchmarks"
DICE = np.random.default_rng


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Any]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def profile_of(module: Callable[[str], Any], **changed: Any) -> Any:
    """A made-up run of 10 units: 1 MB of WARC and 100 pages each, of which 50 are kept and 10 have a candidate."""
    scale, passes, timed_as = module("_scale_profile"), module("_scale_passes"), module("_scale_timing").Timed
    totals = {"warc bytes": 1e7, "pages": 1e3, "documents": 500.0, "text bytes": 1e6, "rows": 8e3, "candidates": 100.0,
              "edges": 500.0, "kept": 450.0, "units": 10.0}  # fmt: skip
    timed = {"extract/extract": timed_as(10.0, 10, 1e6, 2.0), "dedup/edges": timed_as(1.0, 2, 1e4, 0.0),
             "dedup/fates": timed_as(1.0, 1, 100.0, 0.0)}  # fmt: skip
    known = {"cores": 2, "bands": 16, "totals": totals, "amounts": {}, "passes": timed, "rest": {}, "seconds": {},
             "disk": dict.fromkeys(passes.GROWS, 1e5) | {"warc": 1e7}, "files": dict.fromkeys(passes.GROWS, 10),
             "facts": {"largest component": 5.0}}  # fmt: skip
    return scale.Profile(**(known | changed))


@pytest.mark.parametrize(
    ("tasks", "cores", "handing_out", "seconds"),
    [(10, 4, 0.0, 3.0), (4, 4, 0.0, 1.0), (3, 40, 0.0, 1.0), (10, 4, 1.0, 11.0), (0, 4, 1.0, 0.0)],
)
def test_the_queue_by_hand(
    module: Callable[[str], Any], tasks: int, cores: int, handing_out: float, seconds: float
) -> None:
    """Ten tasks of a second on four cores take three; of a driver that hands out one a second, eleven."""
    done = module("_scale_queue").run_tasks(np.ones(tasks), cores, 0.0, handing_out, math.inf, DICE(1))
    assert (done.seconds, done.busy, done.lost) == (seconds, tasks, 0)


def test_only_the_first_task_of_each_core_pays_for_starting(module: Callable[[str], Any]) -> None:
    done = module("_scale_queue").run_tasks(np.ones(8), 2, 5.0, 0.0, math.inf, DICE(1))
    assert done.seconds == 4 + 5 and done.busy == 8 + 2 * 5


def test_a_slow_task_at_the_end_keeps_the_others_waiting(module: Callable[[str], Any]) -> None:
    run = module("_scale_queue").run_tasks
    assert run(np.array([1.0, 1, 1, 9]), 2, 0.0, 0.0, math.inf, DICE(1)).seconds == 10
    assert run(np.array([9.0, 1, 1, 1]), 2, 0.0, 0.0, math.inf, DICE(1)).seconds == 9


def test_failing_nodes_cost_what_is_done_again(module: Callable[[str], Any]) -> None:
    """Of tasks of an hour on nodes that fail each ten hours some one in ten is lost; every task is done in the end."""
    run, work = module("_scale_queue").run_tasks, np.full(2000, 3600.0)
    done = run(work, 100, 0.0, 0.0, 10.0, DICE(1))
    again = run(work, 100, 0.0, 0.0, 10.0, DICE(1))
    assert done == again and 130 < done.lost < 300
    assert done.busy > work.sum() and done.seconds > run(work, 100, 0.0, 0.0, math.inf, DICE(1)).seconds


def test_spread_tasks_have_the_same_sum(module: Callable[[str], Any]) -> None:
    spread = module("_scale_queue").spread_work
    assert spread(100.0, 4, 0.0, DICE(1)).tolist() == [25.0] * 4
    work = spread(100.0, 5000, 0.5, DICE(1))
    assert work.sum() == pytest.approx(100) and np.log(work).std() == pytest.approx(0.5, abs=0.03)


def test_seconds_of_tasks_from_the_times_of_their_files(module: Callable[[str], Any]) -> None:
    """Two cores: tasks of 3, 5, 4 and 1 seconds end at 3, 5, 7 and 6."""
    assert module("_scale_timing").seconds_of_tasks([3, 5, 7, 6], 2).tolist() == [3, 5, 4, 1]
    assert module("_scale_timing").seconds_of_tasks([2], 8).tolist() == [2]


def test_a_corpus_grows_in_its_ratios_or_those_that_are_given(module: Callable[[str], Any]) -> None:
    grown, known = module("_scale_passes").grown, profile_of(module).totals
    tenfold = grown(known, 1e8)
    assert tenfold == pytest.approx({name: 10 * value for name, value in known.items() if name != "units"})
    pages = grown(known, 1e8, {"pages": 1e-3, "candidates": 0.5})
    assert pages["pages"] == 1e5 and pages["documents"] == 5e4 and pages["candidates"] == 2.5e4
    assert pages["edges"] == 5 * pages["candidates"]


def test_tasks_are_those_of_the_stages(module: Callable[[str], Any]) -> None:
    """The rules of dedup_stage and hash_parts, and the defaults of the recipe."""
    from crawl2chat.dedup.dedup_stage import ROWS_A_PARTITION

    passes, limits = module("_scale_passes"), module("_scale_limits")
    totals = {"documents": 1e8, "candidates": 5e7 + 2, "edges": 2.5e8, "windows": 1e12}
    tasks = passes.layout(totals, 10_000, 16)
    assert tasks["partitions"] == math.ceil(1e8 * 18 / ROWS_A_PARTITION)
    assert tasks["groups"] == math.ceil((10_000 + tasks["partitions"]) / 32)
    assert tasks["window parts"] == 4096 and tasks["anchor parts"] == 8 and tasks["parts"] == 477
    assert 470 < tasks["parts of a unit"] <= 477, "5,000 documents of a unit lie in nearly all parts"
    assert passes.in_files(totals) and not passes.in_files({"candidates": 5e7})
    recipe = Recipe.model_validate({"name": "r", "sources": [{"kind": "jsonl", "name": "w", "paths": ["x.jsonl"]}]})
    assert recipe.dedup.cluster_nodes == passes.CLUSTER_NODES
    assert recipe.dedup.gates.max_component == limits.GATE


def test_a_thousand_nodes_by_hand(module: Callable[[str], Any]) -> None:
    """1 TB in 1,000 files at 1 MB/s a core: 1,002 seconds on as many cores, as long as nothing else binds."""
    model, shape, passes = module("_scale_model"), module("_scale_shape"), module("_scale_passes")
    profile, costs = profile_of(module), shape.Costs(unit_s=0.0, object_s=0.0)
    corpus = module("_scale_load").Corpus(passes.grown(profile.totals, 1e12), 1000)
    ideal = shape.here(1000)
    [extract, edges, fates] = model.simulate(profile, corpus, ideal, costs)
    assert extract.hours * 3600 == pytest.approx(1002, rel=1e-3) and extract.bound == "cores"
    assert (extract.tasks, extract.files, edges.objects) == (1000, 4000, 1000 * edges.tasks)
    assert edges.shuffled == 20 * corpus.totals["rows"] == 20 * 8e8
    slow = model.simulate(profile, corpus, ideal, replace(costs, unit_s=2.0))[0]
    assert slow.bound == "driver" and slow.hours * 3600 > 2000
    narrow = model.simulate(profile, corpus, replace(ideal, storage_gb_s=0.1), costs)[0]
    assert narrow.hours * 3600 > 1e12 / 1e8
    waits = model.simulate(profile, corpus, replace(ideal, latency_ms=1.0), costs)[2]
    opened = 2 * (1000 + passes.layout(corpus.totals, 1000, 16)["groups"])
    assert waits.core_hours - fates.core_hours == pytest.approx(fates.tasks * opened * 1e-3 / 3600, rel=0.01)
    quiet = model.simulate(profile, corpus, ideal, costs, queue=False)[0]
    assert quiet.hours == pytest.approx(extract.hours, rel=1e-3)


def test_a_limit_is_reached_where_its_figure_says(module: Callable[[str], Any]) -> None:
    """5 of 500 documents are one component; 20 million are allowed: reached with 2 billion documents, 40 TB."""
    model, shape, passes, limits = (module(f"_scale_{name}") for name in ("model", "shape", "passes", "limits"))
    load = module("_scale_load")
    profile, cluster, costs = profile_of(module), shape.Cluster(), shape.Costs()

    def made(warc_bytes: float) -> Any:
        return load.Corpus(passes.grown(profile.totals, warc_bytes), max(1, round(warc_bytes / 1e9)))

    corpus = made(1e14)
    size = limits.Size(profile, corpus, cluster, costs, model.simulate(profile, corpus, cluster, costs, queue=False))
    rows = {row[0]: row for row in limits.table(size, made)}
    [component] = [row for name, row in rows.items() if name.startswith("largest component")]
    assert component[1] == "5e+07 documents" and component[3] in ("40 TB", "41 TB", "42 TB")
    assert rows["shard files that a training worker maps"][3] in ("66 TB", "67 TB", "68 TB", "69 TB")
    assert rows["nodes of a Ray cluster"][3] == "-", "as many as Ray is tested with, at any size"


def test_a_prediction_that_is_off_is_wrong(module: Callable[[str], Any]) -> None:
    line = module("_scale_check").Line
    assert line("rows", "kept", 100, 110).right and not line("rows", "kept", 100, 150).right
    assert line("files", "dedup", 10, 10).right and not line("files", "dedup", 11, 10).right
    assert line("seconds", "dedup", 3, 1.5).right, "less than two seconds"
    assert not line("seconds", "dedup", 30, 15).right and line("seconds", "dedup", 20, 15).right
    assert line("bytes", "spans", 0, 0).right and not line("bytes", "spans", 1, 0).right
