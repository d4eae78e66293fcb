"""What a plan has assumed, and what of it is odd, in words."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.recipe import Recipe
from ..tune.show import short
from .corpus import likeness
from .loads import Corpus
from .run_profile import Profile
from .training import Trained

MUCH = 0.25  # of a training, for validation


def unlike(recipe: Recipe, profile: Profile) -> list[str]:
    """Sources that the profile does not have."""
    found = []
    for source in recipe.sources:
        _, like, same = likeness(profile, source.name, source.kind)
        if not same:
            found.append(f"source {source.name}: not in the profile, taken to be as its {', '.join(like)}")
    return found


def of_training(trainings: Mapping[str, Trained], corpus: Corpus | None) -> list[str]:
    """How often pretraining sees its tokens, and whether it mostly validates."""
    one, there = trainings.get("pretrain"), corpus.totals.get("tokens", 0.0) if corpus is not None else 0.0
    if one is None or not there:
        return []
    found = [f"pretrain: {one.tokens / there:.2g} passes over {short(round(there))} training tokens"]
    if one.seconds is not None and one.judging_s > MUCH * one.seconds:
        share = one.judging_s / one.seconds
        found.append(
            f"pretrain: {share:.0%} of its time is validation; turn: shards.validation_share lower, or "
            "train.validate_every up"
        )
    return found
