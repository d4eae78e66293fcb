"""The benchmark of deduplication: exact similarities against sets, its documents, the command on a few pages."""

from __future__ import annotations

import importlib
import json
import os
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.gates import plain_jaccard

BENCHMARKS = Path(__file__).parent.parent.parent.parent / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module


def test_all_pairs_are_those_of_brute_force(module: Any) -> None:
    truth, dice, settings = module("_dedup_truth"), random.Random(3), Dedup(ngram=2)
    texts = [" ".join(dice.choice("abcd") for _ in range(dice.randrange(12))) for _ in range(80)]
    pairs, similarity = truth.all_pairs(texts, settings)
    expected = {
        (one, other): value
        for one, other in combinations(range(80), 2)
        if (value := plain_jaccard(texts[one], texts[other], settings)) >= truth.LEAST
    }
    assert dict(zip(map(tuple, pairs.tolist()), similarity.tolist(), strict=True)) == pytest.approx(expected)
    assert len(expected) > 300


def test_synthetic_documents_depend_on_their_number_alone(module: Any) -> None:
    corpus = module("_dedup_corpus")
    pool = corpus.passages([" ".join(f"w{page}x{at}" for at in range(400)) for page in range(300)])
    texts = corpus.synthetic(pool, 0, 2000)
    assert texts[500:600] == corpus.synthetic(pool, 500, 100)
    assert all(600 <= len(text) < 1250 for text in texts)
    sets = {text: at for at, text in reversed(list(enumerate(texts)))}
    exact = sum(sets[text] != at for at, text in enumerate(texts))
    assert 100 < exact < 250, "of 600 copies a quarter has no word replaced"


@pytest.mark.slow
def test_every_difference_to_datatrove_is_explained(shared_data: Path) -> None:
    """And recall, precision and the S-curve on 1,000 real pages."""
    command = [sys.executable, str(BENCHMARKS / "dedup.py"), "--quick", "--json", "--only", "dedup", "--only", "truth"]
    environment = os.environ | {"CRAWL2CHAT_SHARED": str(shared_data.parent)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["unexplained"] == 0 and figures["kept_by_both"] > 400
    assert figures["recall"] >= 0.99 and figures["precision"] == 1.0
    assert figures["curve_points_outside"] <= 1
