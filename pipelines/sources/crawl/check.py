"""What a crawl source must have before anything starts, beyond what the recipe's own checks see."""

from __future__ import annotations

from ....core.errors import RecipeError
from ....core.settings_data import CrawlSource
from .urls import canonical


def check_crawl(source: CrawlSource) -> None:
    """Raise RecipeError for a seed that the crawler does not fetch, or a crawl of others' sites that names nobody."""
    for seed in source.seeds:
        if canonical(seed) is None:
            raise RecipeError(
                f"sources.{source.name}.seeds: {seed!r} is not an address that the crawler fetches",
                "correct its host or port, or shorten it; give URLs such as https://example.org/",
            )
    if source.seeds and source.user_agent == CrawlSource.model_fields["user_agent"].default:
        raise RecipeError(
            f"sources.{source.name}.user_agent names no operator",
            "set it to your project's name and a contact, such as 'myproject/1.0 (+https://example.org/contact)'",
        )
