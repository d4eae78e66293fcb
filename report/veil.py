"""What stands beside the texts of documents, as others may see it: addresses and details without personal data.

The texts themselves are masked before they are cut to what is shown: half an address would not be known for one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

from ..core.credentials import without_credentials
from .flow import Flow

PIECE = re.compile(r"[^/?&=;#]+")  # of a URL: in a running text the signs between could be a mail address's


class Mask(Protocol):
    """report.facts.Corpus.masked of a run."""

    def __call__(self, texts: list[str], kinds: tuple[str, ...] = ...) -> list[str]: ...


def veil(flow: Flow, mask: Mask) -> None:
    """Change, in place, the samples of documents that left and of those that stayed."""
    left = [one for step in flow.steps for reason in step.reasons for one in reason.samples]
    shown = [*left, *flow.kept]
    for one, url in zip(shown, _addresses([one.url for one in shown], mask), strict=True):
        one.url = url
    for one, detail in zip(left, mask([one.detail for one in left]), strict=True):
        one.detail, one.origin = without_credentials(detail), without_credentials(one.origin)


def _addresses(urls: Sequence[str], mask: Mask) -> list[str]:
    """Without credentials, keys and mail addresses; other kinds are numbers, and so is much that is nobody's."""
    urls = mask([without_credentials(url) for url in urls], ("secret",))
    pieces = {piece: piece.replace("%40", "@") for url in urls for piece in PIECE.findall(url)}
    masked = zip(pieces.items(), mask(list(pieces.values()), ("email",)), strict=True)
    changed = {piece: shown for (piece, read), shown in masked if shown != read}
    return [PIECE.sub(lambda one: changed.get(one[0], one[0]), url) for url in urls]
