"""The stage `dedup` on 5,000 real documents against all pairs' exact similarities: recall, precision, the S-curve."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.banding import collision_probability
from crawl2chat.core.run import Run
from crawl2chat.core.schema import doc_id
from crawl2chat.core.stage import bring_up_to_date
from crawl2chat.dedup.dedup_stage import DEDUP
from crawl2chat.dedup.gates import wilson

pytestmark = pytest.mark.ray
BENCHMARKS = Path(__file__).parent.parent.parent / "benchmarks"
DOCUMENTS = 5_000


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch, shared_data: Path) -> Any:
    """Modules of the benchmark: its way to all pairs' similarities is tested beside it."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.setenv("CRAWL2CHAT_SHARED", str(shared_data.parent))
    return importlib.import_module


@pytest.mark.slow
def test_real_documents_against_all_pairs(local_ray: None, extracted: Callable[..., Run], module: Any) -> None:
    """All web pages of ../shared/data, pages in 25 languages among them, and passages of Wikipedia up to 5,000."""
    texts = module("_dedup_corpus").shared_texts(DOCUMENTS)
    assert len(texts) == DOCUMENTS
    run = extracted("real", [(str(at), text) for at, text in enumerate(texts)], units=4)
    [(_, manifest)] = bring_up_to_date([DEDUP], run, nullcontext)
    settings, truth = run.recipe.dedup, module("_dedup_truth")
    bands, rows = manifest.facts["bands"], manifest.facts["rows"]
    assert collision_probability(0.8, bands, rows) >= 0.99 > collision_probability(0.8, bands - 1, rows)

    pairs, similarity = truth.all_pairs(texts, settings)
    known = {(one, other): value for (one, other), value in zip(pairs.tolist(), similarity.tolist(), strict=True)}
    similar = pairs[similarity >= settings.threshold]
    number = {doc_id("web", str(at)): at for at in range(DOCUMENTS)}
    dropped = pq.read_table(run.stage("dedup") / "dropped").to_pylist()
    gone = np.zeros(DOCUMENTS, dtype=bool)
    gone[[number[row["doc_id"]] for row in dropped]] = True
    both_stay = int((~gone[similar]).all(axis=1).sum())
    low, _ = wilson(len(similar) - both_stay, len(similar))
    assert len(similar) > 300 and both_stay <= 0.01 * len(similar) and low > 0.97, (both_stay, len(similar))

    near = [row for row in dropped if row["reason"] == "minhash_duplicate"]
    assert len(near) > 20
    for row in near:  # precision 1, and the similarity that the ledger says
        pair = sorted((number[row["doc_id"]], number[row["detail"]]))
        assert known[pair[0], pair[1]] >= settings.threshold
        assert row["value"] == pytest.approx(known[pair[0], pair[1]], abs=0.002)

    edited = module("_dedup_edited").edited_pairs(texts, settings, 200)
    real, made = truth.curve(texts, pairs, similarity, settings), truth.curve(*edited, settings)
    assert len(real) >= 10 and len(made) == 15 and all(point["pairs"] == 200 for point in made)
    for points in (real, made):
        outside = [point for point in points if not point["inside"]]
        assert len(outside) <= 1, outside  # of 15 intervals of three standard errors
