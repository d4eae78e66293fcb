"""Pairs of a page and an edited one, at every similarity: real pages have few pairs that are nearly the threshold.

An edited page has paragraphs of its page left out and paragraphs of other real pages put in, no words of our own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from _dedup_truth import LEAST
from crawl2chat.core.settings_data import Dedup
from crawl2chat.dedup.gates import plain_shingles

LEAST_PARAGRAPHS, LEAST_WORDS = 8, 150  # of a page that is edited
ROUNDS = 12  # times that the pages are gone through at most


def edited_pairs(
    texts: Sequence[str], settings: Dedup, wanted: int, seed: int = 11
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Texts, pairs of them (int32 [pairs, 2]) and their exact similarities: `wanted` in each 0.05 from LEAST to 1.

    Fewer where the pages do not give so many. A page has at most one pair in each round.
    """
    dice = np.random.default_rng(seed)
    pages = [page for text in texts if len(page := text.split("\n")) >= LEAST_PARAGRAPHS]
    pages = [page for page in pages if len(" ".join(page).split()) >= LEAST_WORDS]
    pieces = [piece for page in pages for piece in page if len(piece.split()) > settings.ngram]
    missing = dict.fromkeys(range(int(LEAST * 20), 20), wanted)
    found: list[str] = []
    similarities: list[float] = []
    for number in range(ROUNDS * len(pages)):
        if not any(missing.values()):
            break
        page = pages[number % len(pages)]
        # an edit of a share f leaves about (1-f)/(1+f) alike, and less where paragraphs are short
        place = dice.choice([at for at, left in missing.items() if left])
        aim = min((place + 4 * dice.random()) / 20, 0.995)
        changed = _edit(page, pieces, (1 - aim) / (1 + aim), dice)
        one, other = plain_shingles("\n".join(page), settings), plain_shingles(changed, settings)
        similarity = len(one & other) / max(1, len(one | other))
        if missing.get(place := min(int(similarity * 20), 19)) and similarity < 1:
            missing[place] -= 1
            found += ["\n".join(page), changed]
            similarities.append(similarity)
    pairs = np.arange(len(found), dtype=np.int32).reshape(-1, 2)
    return found, pairs, np.array(similarities)


def _edit(page: list[str], pieces: list[str], share: float, dice: np.random.Generator) -> str:
    """The page with about this share of its words left out by paragraphs, and as many of others put in."""
    words = np.array([len(piece.split()) for piece in page])
    order = dice.permutation(len(page))
    left_out = set(order[np.cumsum(words[order]) <= share * words.sum()].tolist())
    kept = [piece for at, piece in enumerate(page) if at not in left_out]
    room = share * words.sum()
    while True:
        piece = pieces[int(dice.integers(len(pieces)))]
        room -= len(piece.split())
        if room < 0:
            return "\n".join(kept)
        kept.insert(int(dice.integers(len(kept) + 1)), piece)
