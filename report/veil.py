"""What stands beside the texts of documents, as others may see it: addresses and details without personal data.

The texts themselves are masked before they are cut to what is shown: half an address would not be known for one.
"""

from __future__ import annotations

from typing import Protocol

from ..core.credentials import without_credentials
from .flow import Flow

IN_ADDRESSES = ("email", "secret")  # other kinds are numbers, and so is much in a URL that is nobody's


class Mask(Protocol):
    """report.facts.Corpus.masked of a run."""

    def __call__(self, texts: list[str], kinds: tuple[str, ...] = ...) -> list[str]: ...


def veil(flow: Flow, mask: Mask) -> None:
    """Change, in place, the samples of documents that left and of those that stayed."""
    left = [one for step in flow.steps for reason in step.reasons for one in reason.samples]
    shown = [*left, *flow.kept]
    for one, url in zip(shown, mask([one.url for one in shown], IN_ADDRESSES), strict=True):
        one.url = without_credentials(url)
    for one, detail in zip(left, mask([one.detail for one in left]), strict=True):
        one.detail, one.origin = without_credentials(detail), without_credentials(one.origin)
