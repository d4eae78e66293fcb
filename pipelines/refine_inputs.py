"""The files that the steps behind the filters work with, beside the documents: models and word lists."""

from __future__ import annotations

from ..core.recipe import Recipe
from . import classifier, toxicity


def check_refinement(recipe: Recipe) -> None:
    """Raise the error of the first model or list that cannot be used as the recipe wants it, before anything starts."""
    for one in recipe.classifiers:
        classifier.load(one)
    if recipe.toxicity is not None:
        toxicity.ToxicityFilter(recipe.toxicity)


def digests(recipe: Recipe) -> dict[str, str]:
    """Path to SHA-256 of each: another file under the same name makes the stage run again."""
    return {**classifier.digests(recipe), **toxicity.digests(recipe.toxicity)}
