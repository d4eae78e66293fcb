"""The files that the steps behind the filters work with, beside the documents: models and word lists."""

from __future__ import annotations

from pathlib import Path

from ..core.errors import InputError
from ..core.files import sha256_file
from ..core.recipe import Recipe
from . import classifier, toxicity
from .extraction import WEIGHTS


def check_refinement(recipe: Recipe) -> None:
    """Raise the error of the first model or list that cannot be used as the recipe wants it, before anything starts."""
    for one in recipe.classifiers:
        classifier.load(one)
    if recipe.toxicity is not None:
        toxicity.ToxicityFilter(recipe.toxicity)
    if recipe.filters.url is not None:
        from .quality.urls import UrlBlocks  # here: datatrove takes seconds to import

        UrlBlocks(recipe.filters.url)


def digests(recipe: Recipe) -> dict[str, str]:
    """Path to SHA-256 of each: another file under the same name makes the stage run again.

    The cascade's weights are one of them, by their place in the package.
    """
    weights = {f"extraction/{WEIGHTS.name}": sha256_file(WEIGHTS)} if recipe.extract.engine == "cascade" else {}
    lists = recipe.filters.url.files().values() if recipe.filters.url is not None else ()
    blocked = {path: _digest(path) for paths in lists for path in paths}
    return {**weights, **classifier.digests(recipe), **toxicity.digests(recipe.toxicity), **blocked}


def _digest(path: str) -> str:
    try:
        return sha256_file(Path(path))
    except OSError as error:
        raise InputError(f"filters.url: the list {path} cannot be read: {error}", "correct the path") from error
