"""Numbers that describe the blocks of some pages, for the model: one row a block.

In: `blocks.Page`s that have blocks. Out: `Rows`. A row knows its block's text (length, links, punctuation, case), the
names and tags of its element and of those around it, how much text, links and prose stand in the four elements around
it, and where it stands: in its page, after which heading, and to the element that holds the most prose. Neighbours are
left to the model, which looks at a window of blocks. A row never depends on the other pages.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from .blocks import Page
from .characters import characters
from .hints import BITS, TAG_BITS
from .surroundings import AMOUNTS, LEVELS, WORDS, Floats, Ints, describe

FLAGS = LEVELS * len(BITS)
H1 = TAG_BITS["h1"]
HEADINGS = H1 | TAG_BITS["h2"] | TAG_BITS["h3"]
TITLE_LIMIT = 150
PHRASE_LIMIT = 40  # characters: a longer block is no button, link or heading of one
PHRASES = (  # words of page furniture, in short blocks
    "share teilen tweet facebook twitter whatsapp pinterest linkedin email e-mail print drucken partager compartir",
    "comment comments kommentar kommentare reply replies antworten commentaire commentaires comentarios respond",
    "read more related also mehr weiter recommended next previous vorheriger nächster lire popular trending latest",
    "copyright © rights cookie cookies privacy newsletter subscribe sign login log anmelden impressum datenschutz",
    "by von posted published written updated filed tags categories category photo image foto source quelle par credit",
    "advertisement anzeige sponsored ad werbung advertise shop buy cart",
)
PHRASE_OF = {
    word + end: group for group, words in enumerate(PHRASES, start=1) for word in words.split() for end in ("", ":")
}
BORDER, NEXT_BLOCK, NO_PHRASE = "\0", -1, 0  # no parser leaves a NUL in a text
PHRASE_OF[BORDER] = NEXT_BLOCK
REPEATED, TITLE, FURNITURE = WORDS, WORDS + 1, WORDS + 2
NUMBERS = FURNITURE + len(PHRASES)


@dataclass(frozen=True, slots=True)
class Rows:
    """names: bits of the elements around each block [blocks, LEVELS]; numbers: all else [blocks, NUMBERS]."""

    names: Ints
    numbers: Floats

    def matrix(self) -> Floats:
        """[blocks, FLAGS + NUMBERS]: a column for each bit, as the model's first layer has weights."""
        octets = self.names.view(np.uint8).reshape(-1, LEVELS, 8)
        bits = np.unpackbits(octets, axis=2, bitorder="little")[:, :, : len(BITS)]
        return np.concatenate([bits.reshape(-1, FLAGS), self.numbers], axis=1, dtype=np.float32)


def features(pages: Sequence[Page]) -> Rows:
    """The rows of all blocks, page after page."""
    blocks = sum(len(page.texts) for page in pages)
    rows = Rows(np.empty((blocks, LEVELS), np.int64), np.zeros((blocks, NUMBERS), np.float32))
    end = 0
    for page in pages:
        start, end = end, end + len(page.texts)
        _fill(page, rows.names[start:end], rows.numbers[start:end])
    amounts = rows.numbers[:, :AMOUNTS]
    np.log1p(amounts, out=amounts)
    _find_phrases([text for page in pages for text in page.texts], rows.numbers)
    return rows


def _fill(page: Page, names: Ints, numbers: Floats) -> None:
    """A page's rows, all but the words of page furniture."""
    texts, title = page.texts, page.title
    encoded = [text.encode() for text in texts]
    sizes = np.fromiter(map(len, encoded), np.int64, len(encoded))
    counts = characters(np.frombuffer(b"".join(encoded), np.uint8), sizes)
    tree = (page.parents, page.own, page.inherited, page.starts)
    describe((page.owners, sizes, page.linked, counts), tree, H1, HEADINGS, names, numbers)
    if len(set(texts)) < len(texts):
        seen = Counter(texts)
        numbers[:, REPEATED] = [seen[text] > 1 for text in texts]
    limit = min(TITLE_LIMIT, len(title) + 1)
    numbers[:, TITLE] = [8 < len(text) < limit and text in title for text in texts]


def _find_phrases(texts: list[str], numbers: Floats) -> None:
    """Words of page furniture in short blocks."""
    short = f" {BORDER} ".join([text if len(text) < PHRASE_LIMIT else "" for text in texts])
    words = short.lower().split()
    groups = np.fromiter(map(PHRASE_OF.get, words, repeat(NO_PHRASE)), np.int64, len(words))
    found = np.flatnonzero(groups > NO_PHRASE)
    numbers[np.cumsum(groups == NEXT_BLOCK)[found], FURNITURE - 1 + groups[found]] = 1
