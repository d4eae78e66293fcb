"""Quality classifiers in a run: models by `crawl2chat data train-classifier`, and any other fastText model.

What the model is shown, its label and its thresholds stand in the report beside it (classifier_training.py). A model
without a report is shown the text on one line; its label, and its threshold if it is to drop, stand in the recipe.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import ContractError, InputError, RecipeError
from ..core.files import sha256_file
from ..core.recipe import Recipe
from ..core.settings_quality import Classifier
from .classifier_text import LABEL, common, plain
from .classifier_training import SCHEMA_VERSION, probabilities, report_path


@dataclass(frozen=True)
class QualityModel:
    """A loaded model; without a threshold it scores and drops nothing."""

    name: str
    label: str
    threshold: float | None
    show: Callable[[str], str]
    model: Any

    def score(self, texts: Sequence[str]) -> np.ndarray:
        """float32, from 0 to 1, one a text; the same in any batch."""
        return probabilities(self.model, [self.show(text) for text in texts], self.label)


def load(settings: Classifier) -> QualityModel:
    """The model as the recipe wants it. Raises errors that name the file, the value and the fix."""
    path = Path(settings.model)
    report = read_report(path)
    model = _model(str(path), *_stamp(path))
    known = [label.removeprefix(LABEL) for label in model.labels]
    label = settings.label or (report or {}).get("label", "")
    if label not in known:
        raise RecipeError(
            f"classifiers.{settings.name}.label is {label!r}, which {path} does not know",
            f"name one of: {', '.join(known[:20])}",
        )
    words = (report or {}).get("words", [])
    show = common(frozenset(words)) if report and report["form"] == "common" else plain
    return QualityModel(settings.name, label, _threshold(settings, report), show, model)


def read_report(model: Path) -> dict[str, Any] | None:
    """The report beside a model, None without one. Raises ContractError for a report of another model."""
    if not model.is_file():
        raise InputError(f"no classifier at {model}", "train one: crawl2chat data train-classifier")
    path = report_path(model)
    if not path.exists():
        return None
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        version, made_of = report["schema_version"], report["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no report of a classifier: {error}", "train it again, or remove the file"
        ) from error
    if version != SCHEMA_VERSION:
        raise ContractError(
            f"{path} has schema_version {version}, this program reads {SCHEMA_VERSION}", "train the classifier again"
        )
    if (found := digest_of(model)) != made_of:
        raise ContractError(
            f"{path} is the report of a model with SHA-256 {made_of}, but {model} has {found}",
            "put the two files of one training side by side",
        )
    return report


def digests(recipe: Recipe) -> dict[str, str]:
    """Path to SHA-256 of the models and their reports: another model under the same name is another setting."""
    models = [Path(one.model) for one in recipe.classifiers]
    files = [file for model in models for file in (model, report_path(model)) if file.is_file()]
    return {str(file): digest_of(file) for file in files}


def digest_of(file: Path) -> str:
    """SHA-256, computed once for a file that does not change."""
    return _digest(str(file), *_stamp(file))


@lru_cache(maxsize=64)
def _digest(path: str, size: int, changed: int) -> str:
    return sha256_file(Path(path))


@lru_cache(maxsize=8)
def _model(path: str, size: int, changed: int) -> Any:
    """Loaded once a process."""
    import fasttext

    try:
        return fasttext.load_model(path)
    except (ValueError, MemoryError) as error:
        raise InputError(f"{path} is not a fastText model: {error}", "give a .bin or .ftz of fastText") from error


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


def _threshold(settings: Classifier, report: dict[str, Any] | None) -> float | None:
    if settings.keep_fraction is None:
        return settings.threshold
    rows = {row["keep_fraction"]: row["threshold"] for row in report["held_out"]["fractions"]} if report else {}
    if settings.keep_fraction not in rows:
        known = ", ".join(str(fraction) for fraction in rows) or "none: it has no report, give a threshold"
        raise RecipeError(
            f"classifiers.{settings.name}.keep_fraction is {settings.keep_fraction}, not in {settings.model}'s report",
            f"the report has: {known}",
        )
    return rows[settings.keep_fraction]
