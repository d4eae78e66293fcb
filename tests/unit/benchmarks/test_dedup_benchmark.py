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


def test_edited_pages_have_their_words_from_pages(module: Any) -> None:
    """And their similarities are exact, so many in each twentieth."""
    edited, settings = module("_dedup_edited"), Dedup()
    dice = random.Random(4)
    pages = [
        "\n".join(" ".join(f"p{page}x{line}x{at}" for at in range(dice.randrange(6, 12))) for line in range(60))
        for page in range(100)
    ]
    texts, pairs, similarity = edited.edited_pairs(pages, settings, 4)
    assert len(pairs) == len(similarity) == 4 * 15 == len(texts) // 2
    bins = [int(value * 20) for value in similarity]
    assert {at: bins.count(at) for at in range(5, 20)} == dict.fromkeys(range(5, 20), 4)
    words = {word for page in pages for word in page.split()}
    for (one, other), value in zip(pairs.tolist(), similarity.tolist(), strict=True):
        assert texts[one] in pages and set(texts[other].split()) <= words
        assert plain_jaccard(texts[one], texts[other], settings) == value


def test_what_grows_faster_than_documents_is_said(module: Any) -> None:
    plan, rates = module("_dedup_plan"), module("_dedup_rates")
    samples = [
        rates.Side({}, {"distinct": count, "compared": count**2, "largest component": count // 10}, {})
        for count in (100, 200, 800)
    ]
    assert plan.powers(samples, "compared") == "2.00, 2.00"
    assert plan.powers(samples, "largest component") == "1.00, 1.00"


def test_blocks_are_those_of_rays_own_hash(module: Any) -> None:
    """So many numbers thrown into as many places: about 1 in e of them stays empty."""
    fullest, empty = module("_dedup_plan").blocks(5_000)
    assert 4 <= fullest <= 9 and abs(empty - 0.368) < 0.03


def test_the_largest_component_is_of_texts_that_are_compared(module: Any, tmp_path: Path) -> None:
    """Of three equal texts one is, and short texts are not; four near copies are one component of the five."""
    corpus, sides, rates = module("_dedup_corpus"), module("_dedup_sides"), module("_dedup_rates")
    words = [f"w{at}" for at in range(100)]
    near = [" ".join([*words[:-1], f"end{at}"]) for at in range(4)]
    run = corpus.make_run(tmp_path, "small", {})
    corpus.give_texts(run, [*near, *near[:1] * 2, *["too short"] * 9], units=2)
    figures = sides.plain(tmp_path, "small", {"write_index": True})
    assert figures["counted"]["largest component"] == 4
    assert figures["counted"]["largest component bytes"] == 4 * 4 * 96
    assert figures["counted"]["distinct"] == 5
    side = rates.Side.of(figures)
    assert side.counted["seen rows"] == 15 + 5, "ids, and texts"
    assert side.rate("samples") > 0 and side.rate("finish") > 0 and side.each("index/seen", "documents") > 0


def test_a_difference_without_a_cause_is_not_explained(module: Any, tmp_path: Path) -> None:
    """datatrove's stages beside ours on pages with copies; then theirs are said to keep and remove without a cause."""
    pytest.importorskip("datatrove", reason="datatrove is absent: pip install 'crawl2chat[bench]'")
    corpus, sides, differences = module("_dedup_corpus"), module("_dedup_sides"), module("_dedup_differences")
    settings = {"bands": 14, "rows": 8, "ngram": 5, "seed": 1, "threshold": 0.8}
    dice = random.Random(6)
    words = ["".join(dice.choice("aeioulmnrst") for _ in range(7)) for _ in range(500)]  # theirs takes digits for equal
    lines = [" ".join(dice.choice(words) for _ in range(120)) for _ in range(40)]
    copies = [line[: len(line) // 2] + line[len(line) // 2 + 1 :] for line in lines[:10]]
    run = corpus.make_run(tmp_path, "small", settings)
    corpus.give_texts(run, [*lines, *copies, "too short", "too short"], units=2)
    for side in (sides.plain, sides.datatrove):
        side(tmp_path, "small", settings)
    ours, theirs = (
        set(json.loads((tmp_path / f"kept-{side}.json").read_text())) for side in ("crawl2chat", "datatrove")
    )
    _, step = sides.signature_step(tmp_path / "again", 14, 8)
    found = differences.Differences(run.folder, tmp_path / "datatrove" / "remove", run.recipe.dedup, step)
    kinds = found.kinds(ours, theirs)
    assert ours != theirs and sum(of["unexplained"] for of in kinds.values()) == 0
    assert kinds["only theirs"]["too short"] == 1

    removed = sorted(set(found.survivor) - theirs)  # by both: they share a bucket
    assert len(removed) >= 5
    alone = sorted((ours & theirs) - set(found.cluster))[0]
    odd = found.kinds(ours, (theirs | {removed[0]}) - {alone})
    assert odd["only ours"]["unexplained"] == 1, "theirs had no cluster for it"
    del found.cluster[removed[0]]
    odd = found.kinds(ours, theirs | {removed[0]})
    assert odd["only theirs"]["unexplained"] == 1, "their buckets agree, so chance does not explain it"


@pytest.mark.slow
def test_every_difference_to_datatrove_is_explained(shared_data: Path) -> None:
    """And recall, precision and the S-curve on 1,000 real pages."""
    command = [sys.executable, str(BENCHMARKS / "dedup.py"), "--quick", "--json", "--only", "dedup", "--only", "truth"]
    environment = os.environ | {"CRAWL2CHAT_SHARED": str(shared_data.parent)}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    figures = json.loads(done.stdout.splitlines()[-1])
    assert figures["unexplained"] == 0 and figures["kept_by_both"] > 400
    assert figures["recall"] >= 0.99 and figures["precision"] == 1.0
    assert figures["curve_points_outside"] <= 1 and figures["edited_points_outside"] <= 1
    assert 0.9 < figures["recall_low"] < figures["recall"] and figures["recall_pairs"] >= 100
