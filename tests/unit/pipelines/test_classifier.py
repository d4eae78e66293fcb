"""Quality classifiers: what they see, how they are trained and judged, what a recipe gets of them."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.cli import main
from crawl2chat.core.errors import ContractError, InputError, RecipeError
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.settings_quality import Classifier
from crawl2chat.pipelines.classifier import digests, load
from crawl2chat.pipelines.classifier_inputs import documents
from crawl2chat.pipelines.classifier_pieces import PIECE_WORDS, Piece, balanced, cut, pieces, shares, without_shared
from crawl2chat.pipelines.classifier_report import bootstrap_auc, kept_rows, roc_auc
from crawl2chat.pipelines.classifier_text import common, common_words, plain
from crawl2chat.pipelines.classifier_training import Training, train

# ── what a classifier sees ───────────────────────────────────────────────────────────────────────────────────────────


def test_forms() -> None:
    text = "The cat,\n\n sat 3 times on the mat.\nMENU"
    assert plain(text) == "The cat, sat 3 times on the mat. MENU"
    assert plain("__label__good text") == "labelgood text"
    show = common(frozenset({"the", "on", "."}))
    assert show(text) == "the <w> <s> <2> <w> <w> <w> on the <w> . <4.> <w> <0>"


def test_common_words_stand_in_both_classes() -> None:
    good, raw = ["the house 12", "the tree 34"], ["the menu 56", "the cart cart cart"]
    assert common_words([good, raw], 1.0) == {"the"}
    assert common_words([good, raw], 0.5) == {"the", "00"}


# ── pieces ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_cutting_loses_no_word_and_keeps_lines() -> None:
    rng = random.Random(1)
    lines = [" ".join(f"w{n}" for n in range(rng.choice([0, 3, 40, 700]))) for _ in range(60)]
    found = list(cut("\n".join(lines)))
    assert " ".join(found).split() == " ".join(lines).split()
    assert max(len(piece.split()) for piece in found) <= PIECE_WORDS
    assert list(cut("one\ntwo")) == ["one\ntwo"]
    assert list(cut(" \n ")) == []


def test_pieces_are_drawn_by_hash_each_once() -> None:
    texts = [f"document number {n} " * 20 for n in range(500)]
    whole = pieces(texts, 0.2, 10_000)
    assert len(whole) == 500
    assert 60 < sum(piece.held_out for piece in whole) < 140
    assert pieces([*reversed(texts), *texts], 0.2, 10_000) == whole
    assert pieces(texts, 0.2, 100) == whole[:100]
    long = "\n".join(f"paragraph {n} " * 100 for n in range(20))
    assert len({piece.held_out for piece in pieces([long], 0.5, 100)}) == 1  # a document is on one side


def piece(key: int) -> Piece:
    return Piece(key, str(key), False)


def test_classes_share_no_piece_and_inputs_share_evenly() -> None:
    good = [[piece(1), piece(2)], [piece(2), piece(3)]]
    raw = [[piece(3), piece(4), piece(4)]]
    assert without_shared(good, raw) == [[[piece(1), piece(2)], []], [[piece(4), piece(4)]]]
    assert shares([5, 100, 100], 25) == [5, 10, 10]
    assert shares([1, 2], 10) == [1, 2]
    assert shares([], 4) == []
    assert balanced([[piece(1), piece(5), piece(9)], [piece(2)]], 3) == [piece(1), piece(2), piece(5)]


# ── figures ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_roc_auc_counts_pairs() -> None:
    rng = np.random.default_rng(1)
    scores, good = rng.integers(0, 20, 300) / 20, rng.random(300) < 0.4
    pairs = scores[good][:, None] - scores[~good][None, :]
    assert roc_auc(scores, good) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())
    assert roc_auc(np.array([0.1, 0.9]), np.array([False, True])) == 1
    low, high = bootstrap_auc(scores, good, rounds=200)
    assert low < roc_auc(scores, good) < high


def test_rows_of_kept_fractions() -> None:
    scores = np.array([0.9, 0.8, 0.3, 0.7, 0.5, 0.2, 0.1])
    good = np.array([True, True, True, False, False, False, False])
    [quarter, half] = kept_rows(scores, good, [0.5, 0.25])
    assert (quarter["threshold"], quarter["kept"], quarter["recall"]) == (0.7, 0.25, pytest.approx(2 / 3))
    assert quarter["precision"] == pytest.approx((2 / 3) / (2 / 3 + 0.25))
    assert (half["threshold"], half["kept"]) == (0.5, 0.5)


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_inputs_of_every_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n")
    (tmp_path / "b.jsonl").write_text('{"text": "x"}\n\n{"text": "y", "more": "z"}\n{"other": 1}\n')
    (tmp_path / "c.json.gz").write_bytes(gzip.compress(json.dumps([{"q": "Why?", "a": "So."}]).encode()))
    pq.write_table(pa.table({"text": ["p", None], "n": [1, 2]}), tmp_path / "d.parquet")

    def read(name: str) -> list[str]:
        return list(documents(str(tmp_path / name), None))

    assert read("a.txt") == ["one\ntwo"]
    assert read("a.txt#lines") == ["one", "two"]
    assert read("b.jsonl") == ["x", "y"]
    assert read("b.jsonl#text,more") == ["x", "y\nz"]
    assert read("c.json.gz#q,a") == ["Why?\nSo."]
    assert read("d.parquet") == ["p"]
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "d-empty.parquet")
    assert read("d*.parquet") == ["p"], "a file of a glob may be empty, as one of a run's units"
    for name, said in [
        ("none*.txt", "no such file"),
        ("c.json.gz", "holds no text under text"),
        ("d.parquet#body", "no column body"),
    ]:
        with pytest.raises(InputError, match=said):
            read(name)
    (tmp_path / "e.csv").write_text("x")
    (tmp_path / "f.jsonl").write_text("{broken")
    (tmp_path / "g.jsonl.gz").write_bytes(gzip.compress(b'{"text": "x"}\n' * 900)[:-20])
    for name, said in [("e.csv", "no known kind"), ("f.jsonl", "cannot be read"), ("g.jsonl.gz", "cannot be read")]:
        with pytest.raises(InputError, match=said):
            read(name)


# ── training and use ─────────────────────────────────────────────────────────────────────────────────────────────────

SETTINGS = Training(buckets=5000, dim=8, epochs=20, learning_rate=0.5)


def prose(rng: random.Random) -> str:
    things = [f"thing{rng.randrange(500)}" for _ in range(60)]
    return "\n".join(f"It was the {' and the '.join(things[at : at + 6])}, which had been there." for at in range(10))


def menu(rng: random.Random) -> str:
    return "\n".join(f"the {rng.choice(['buy', 'login', 'next'])} and {rng.randrange(500)}" for _ in range(40))


def inputs(number: int = 200) -> tuple[dict[str, list[Piece]], dict[str, list[Piece]]]:
    rng = random.Random(3)
    good, raw = [prose(rng) for _ in range(number)], [menu(rng) for _ in range(number)]
    return {"prose": pieces(good, 0.2, 1000)}, {"menus": pieces(raw, 0.2, 1000)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("models") / "quality.bin"
    train(*inputs(), SETTINGS, target)
    return target


def test_training_tells_the_classes_apart_and_repeats_itself(model: Path, tmp_path: Path) -> None:
    report = json.loads(Path(f"{model}.json").read_text())
    assert report["held_out"]["auc"] > 0.99
    assert report["trained"]["good"] == report["trained"]["raw"]
    assert {"it", "the", "and"} & set(report["words"]) == {"the", "and"}  # `it` is of one class only
    assert train(*inputs(), SETTINGS, tmp_path / "again.bin") == report
    assert (tmp_path / "again.bin").read_bytes() == model.read_bytes()


def test_scores_depend_on_the_text_alone(model: Path) -> None:
    rng = random.Random(9)
    texts = [prose(rng), menu(rng), "", "unheard-of", prose(rng)]
    quality = load(Classifier(name="quality", model=str(model)))
    scores = quality.score(texts)
    assert scores.dtype == np.float32
    assert [quality.score([text])[0] for text in texts] == scores.tolist()
    assert min(scores[0], scores[4]) > 0.9
    assert scores[1] < 0.1
    assert quality.threshold is None
    chosen = load(Classifier(name="quality", model=str(model), keep_fraction=0.1)).threshold
    rows = json.loads(Path(f"{model}.json").read_text())["held_out"]["fractions"]
    assert chosen == next(row["threshold"] for row in rows if row["keep_fraction"] == 0.1)


def test_another_fasttext_model_needs_its_label(model: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.bin"
    bare.write_bytes(model.read_bytes())
    with pytest.raises(RecipeError, match=r"classifiers\.q\.label is '', which .* does not know"):
        load(Classifier(name="q", model=str(bare)))
    found = load(Classifier(name="q", model=str(bare), label="raw"))
    assert found.threshold is None
    assert found.show("A b\nc") == "A b c"
    with pytest.raises(RecipeError, match="it has no report"):
        load(Classifier(name="q", model=str(bare), label="raw", keep_fraction=0.1))


def test_wrong_models_are_errors_before_anything_runs(model: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no classifier at"):
        load(Classifier(name="q", model=str(tmp_path / "none.bin")))
    with pytest.raises(RecipeError, match=r"keep_fraction is 0\.123, not in .*\n  fix: the report has: 0\.05, 0\.1"):
        load(Classifier(name="q", model=str(model), keep_fraction=0.123))
    broken = tmp_path / "broken.bin"
    broken.write_bytes(b"no model at all")
    with pytest.raises(InputError, match="not a fastText model"):
        load(Classifier(name="q", model=str(broken), label="x"))
    other = tmp_path / "other.bin"
    other.write_bytes(model.read_bytes() + b"\0")
    Path(f"{other}.json").write_text(Path(f"{model}.json").read_text())
    with pytest.raises(ContractError, match="SHA-256"):
        load(Classifier(name="q", model=str(other)))


def test_a_class_without_texts_of_its_own_is_an_error(tmp_path: Path) -> None:
    good, _ = inputs(50)
    with pytest.raises(InputError, match=r"0 good and 0 raw training pieces that only one class has"):
        train(good, {"same": good["prose"]}, SETTINGS, tmp_path / "m.bin")
    assert list(tmp_path.iterdir()) == []


def test_the_command_trains_and_reports(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = random.Random(5)
    for name, make in (("good", prose), ("raw", menu)):
        rows = "".join(json.dumps({"text": make(rng)}) + "\n" for _ in range(150))
        (tmp_path / f"{name}.jsonl").write_text(rows)
    names = ["--positive", f"{tmp_path}/good.jsonl", "--negative", f"{tmp_path}/raw.jsonl"]
    target = tmp_path / "m.bin"
    assert main(["data", "train-classifier", *names, "--out", str(target), "--keep-fraction", "0.15"]) == 0
    printed = capsys.readouterr().out
    assert "keep_fraction" in printed
    assert "0.15" in printed
    fractions = json.loads(Path(f"{target}.json").read_text())["held_out"]["fractions"]
    assert [row["keep_fraction"] for row in fractions] == [0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7]
    for option, value in (
        ("--held-out", "2"),
        ("--keep-fraction", "3"),
        ("--keep-fraction", "x"),
        ("--max-pieces", "1"),
    ):
        with pytest.raises(SystemExit) as caught:
            main(["data", "train-classifier", *names, "--out", str(target), option, value])
        assert caught.value.code == 2
        assert f"argument {option}: '{value}': give a" in capsys.readouterr().err
    assert main(["data", "train-classifier", *names[:3], "no-such-file", "--out", str(target)]) == 2


def test_the_models_bytes_are_in_the_fingerprint(model: Path) -> None:
    settings: dict[str, Any] = {"name": "r", "sources": [{"kind": "jsonl", "name": "w", "paths": ["x"]}]}
    one = {"name": "quality", "model": str(model)}
    recipe = Recipe.model_validate({**settings, "classifiers": [one]})
    assert set(digests(recipe)) == {str(model), f"{model}.json"}
    with pytest.raises(ValueError, match="used twice"):
        Recipe.model_validate({**settings, "classifiers": [one, one]})
    with pytest.raises(ValueError, match="threshold and keep_fraction"):
        Classifier(name="q", model="x", threshold=0.5, keep_fraction=0.1)
