"""Train a quality classifier: good texts against raw web, a fastText model (Joulin et al. 2017) and its report.

    MODEL           the fastText model, readable by any fastText
    MODEL.json      {schema_version, sha256, label, form, words, settings, inputs, trained, held_out}; written last

`inputs`: what each name on the command line gave, and how much of it was used. `held_out`: the report on pieces of
documents that were not trained on. One thread and a fixed seed: the same texts give the same bytes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ..core.errors import InputError
from ..core.files import atomic_path, sha256_file, write_json
from .classifier_pieces import Piece, balanced, without_shared
from .classifier_report import kept_rows, roc_auc
from .classifier_text import LABEL, common, common_words, plain

SCHEMA_VERSION = 1
GOOD, RAW = "good", "raw"
FORMS = ("common", "plain")


class Training(BaseModel):
    """How a classifier is trained. The defaults came out best on human labels: benchmarks/classifier.py."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    form: str = "common"
    common_share: float = Field(default=0.03, gt=0, le=1)  # a common word stands in so many pieces of each class
    held_out: float = Field(default=0.1, gt=0, lt=1)  # of the documents
    max_pieces: int = Field(default=200_000, ge=2)  # of each class, and of each input
    keep_fractions: list[Annotated[float, Field(gt=0, lt=1)]] = [0.05, 0.1, 0.2, 0.3, 0.5, 0.7]
    seed: int = 1
    word_ngrams: int = 3
    dim: int = 32
    buckets: int = 200_000  # rows for n-grams, which share rows by hash
    epochs: int = 10
    learning_rate: float = 0.1


Inputs = dict[str, list[Piece]]  # name on the command line: its pieces


def train(good: Inputs, raw: Inputs, settings: Training, target: Path) -> dict[str, Any]:
    """Write model and report; returns the report. Raises InputError when a class has too few texts."""
    sides = without_shared(list(good.values()), list(raw.values()))
    used = {}
    for held_out in (False, True):
        parts = [[[p for p in input_ if p.held_out is held_out] for input_ in side] for side in sides]
        sizes = {label: sum(map(len, side)) for label, side in zip((GOOD, RAW), parts, strict=True)}
        total = min(settings.max_pieces, *sizes.values())
        if not total:
            where = "held-out" if held_out else "training"
            numbers = " and ".join(f"{number} {label}" for label, number in sizes.items())
            raise InputError(
                f"there are {numbers} {where} pieces that only one class has; both need some",
                "give more texts, or another --held-out",
            )
        used[held_out] = [balanced(side, total) for side in parts]
    words = _words(used[False], settings)
    show = common(words) if settings.form == "common" else plain
    report: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "label": GOOD,
        "form": settings.form,
        "words": sorted(words),
        "settings": settings.model_dump(mode="json"),
        "inputs": [
            {"name": name, "class": label, "pieces": len(found), "different": len(left)}
            for label, inputs, side in ((GOOD, good, sides[0]), (RAW, raw, sides[1]))
            for (name, found), left in zip(inputs.items(), side, strict=True)
        ],
        "trained": {GOOD: len(used[False][0]), RAW: len(used[False][1])},
    }
    with atomic_path(target) as partial:
        model = _fit([[show(piece.text) for piece in side] for side in used[False]], settings)
        model.save_model(str(partial))
        report["held_out"] = _judge(model, [[show(piece.text) for piece in side] for side in used[True]], settings)
        report["sha256"] = sha256_file(partial)
    write_json(report_path(target), report)
    return report


def report_path(model: Path) -> Path:
    """The report's place beside its model."""
    return model.with_name(f"{model.name}.json")


def probabilities(model: Any, lines: Sequence[str], label: str) -> np.ndarray:
    """float32: the probability of the label for each line; the same in any batch."""
    found = zip(*model.predict(list(lines), k=len(model.labels)), strict=True)
    scores = [dict(zip(labels, values, strict=True)).get(f"{LABEL}{label}", 0.0) for labels, values in found]
    return np.clip(np.array(scores, dtype=np.float32), 0, 1)


def _words(sides: Sequence[list[Piece]], settings: Training) -> frozenset[str]:
    if settings.form != "common":
        return frozenset()
    return common_words([[piece.text for piece in side] for side in sides], settings.common_share)


def _fit(sides: Sequence[list[str]], settings: Training) -> Any:
    """The model. Both classes in turns: fastText reads its file from top to bottom."""
    import fasttext

    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as file:
        for good, raw in zip(*sides, strict=True):
            file.write(f"{LABEL}{GOOD} {good}\n{LABEL}{RAW} {raw}\n")
        file.flush()
        return fasttext.train_supervised(
            file.name,
            lr=settings.learning_rate,
            dim=settings.dim,
            epoch=settings.epochs,
            wordNgrams=settings.word_ngrams,
            bucket=settings.buckets,
            minCount=1,
            seed=settings.seed,
            thread=1,
            verbose=0,
        )


def _judge(model: Any, sides: Sequence[list[str]], settings: Training) -> dict[str, Any]:
    scores = np.concatenate([probabilities(model, side, GOOD) for side in sides]).astype(np.float64)
    good = np.arange(len(scores)) < len(sides[0])
    return {
        GOOD: len(sides[0]),
        RAW: len(sides[1]),
        "auc": roc_auc(scores, good),
        "fractions": kept_rows(scores, good, settings.keep_fractions),
    }
