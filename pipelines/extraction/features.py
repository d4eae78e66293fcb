"""Numbers that describe the blocks of some pages, for the model: one row a block, in float32.

In: `blocks.Page`s that have blocks. Out: a matrix [blocks of all pages, WIDTH]. A row knows its block's text (length,
links, punctuation, case), the names and tags of its element, of those around it, how much text, links and prose stand
in the four elements around it, and where it stands: in its page, after which heading, and to the element that holds the
most prose. Neighbours are left to the model, which looks at a window of blocks.

Pages are taken some at a time because NumPy's cost is in its calls. A row never depends on the other pages: all sums
are of integers, all else is done element by element.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from .blocks import Page
from .characters import characters
from .hints import BITS, TAG_BITS

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
LEVELS = 4
FLAGS = LEVELS * len(BITS)
PROSE_BYTES = 80
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
PHRASE_OF = {word + end: group for group, words in enumerate(PHRASES) for word in words.split() for end in ("", ":")}
BORDER, NEXT_BLOCK = "\0", -1  # no parser leaves a NUL in a text
PHRASE_OF[BORDER] = NEXT_BLOCK


def features(pages: Sequence[Page]) -> Floats:
    """The rows of all blocks, page after page."""
    spread = _Spread(pages)
    texts = [text for page in pages for text in page.texts]
    encoded = [text.encode() for text in texts]
    sizes = np.array([*map(len, encoded)])
    linked = _joined(page.linked for page in pages)
    around = spread.around(pages)

    own, inherited = _joined(page.own for page in pages), _joined(page.inherited for page in pages)
    names = np.stack([own[around[0]], own[around[1]], own[around[2]] | own[around[3]], inherited[around[0]]], axis=1)
    bits = np.unpackbits(names.view(np.uint8).reshape(-1, LEVELS, 8), axis=2, bitorder="little")[:, :, : len(BITS)]

    counts, shape = characters(b"".join(encoded), sizes)
    density = linked / sizes
    prose = np.where((sizes >= PROSE_BYTES) & (density < 0.4) & (counts[:, 0] + counts[:, 1] > 0), sizes, 0)
    inside, shares = _surroundings(pages, spread, around, np.stack([sizes, linked, prose]))
    amounts, places = _places(spread, sizes, prose, around[1], bits[:, 0])
    logarithms = np.log1p(np.concatenate([sizes[None], counts.T, inside, amounts]).T.astype(np.float32))
    rest = [bits.reshape(-1, FLAGS), logarithms, counts / sizes[:, None], density[:, None], shape, shares.T, places.T]
    return np.concatenate([*rest, _words(pages)], axis=1, dtype=np.float32, casting="unsafe")


class _Spread:
    """Where each page's blocks and elements begin among those of all."""

    def __init__(self, pages: Sequence[Page]) -> None:
        self.counts = np.array([len(page.texts) for page in pages])
        self.elements = np.array([len(page.parents) for page in pages])
        self.first = np.cumsum(self.counts) - self.counts
        self.first_element = np.cumsum(self.elements) - self.elements
        self.page = np.repeat(np.arange(len(pages)), self.counts)  # of each block
        self.index = np.arange(len(self.page)) - self.first[self.page]  # of each block in its page

    def around(self, pages: Sequence[Page]) -> Ints:
        """[LEVELS, blocks]: each block's element and those around it; a root is around itself."""
        owners = _joined(page.owners for page in pages) + self.first_element[self.page]
        parents = _joined(page.parents for page in pages) + np.repeat(self.first_element, self.elements)
        around = np.empty((LEVELS, len(owners)), np.int64)
        around[0] = owners
        for level in range(1, LEVELS):
            around[level] = parents[around[level - 1]]
        return around

    def total(self, values: NDArray) -> NDArray:
        """Each page's sum, for each block."""
        return np.add.reduceat(values, self.first)[self.page]

    def most(self, values: NDArray) -> NDArray:
        return np.maximum.reduceat(values, self.first)[self.page]

    def passed(self, values: NDArray) -> NDArray:
        """The running sum within the page."""
        running = np.cumsum(values)
        return running - (running - values)[self.first][self.page]


def _joined(parts: Iterable[array[int]]) -> Ints:
    return np.concatenate([np.frombuffer(part, np.int64) for part in parts])


def _surroundings(pages: Sequence[Page], spread: _Spread, around: Ints, amounts: Ints) -> tuple[Ints, NDArray]:
    """How much stands in the elements around each block, and shares: links and prose in it, its part of the page."""
    before = np.repeat(spread.first, spread.elements)
    starts = _joined(page.starts for page in pages) + before
    ends = np.concatenate([_ends(page) for page in pages]) + before
    sums = np.zeros((4, amounts.shape[1] + 1), np.int64)
    np.cumsum(amounts, axis=1, out=sums[:3, 1:])
    sums[3] = np.arange(sums.shape[1])
    inside = sums[:, ends[around]] - sums[:, starts[around]]
    size, links, prose, _ = inside
    total, total_prose = spread.total(amounts[0]), spread.total(amounts[2])
    whole = np.maximum(size, 1)
    shares = [links / whole, prose / whole, prose / np.maximum(total_prose, 1), size / total]
    return inside.reshape(-1, around.shape[1]), np.concatenate(shares)


def _ends(page: Page) -> list[int]:
    """For each element, the number of blocks up to the last that stands in it."""
    ends = [0] * len(page.starts)
    for block, owner in enumerate(page.owners, start=1):
        ends[owner] = block
    parents = page.parents.tolist()
    for element in range(len(ends) - 1, 0, -1):
        if ends[element] > ends[parents[element]]:
            ends[parents[element]] = ends[element]
    return ends


def _places(spread: _Spread, sizes: Ints, prose: Ints, containers: Ints, bits: NDArray) -> tuple[NDArray, NDArray]:
    """Where a block stands: in its page, after headings, and to the element that holds the most prose.

    Two groups of rows: numbers of which the logarithm matters, and others.
    """
    index, counts = spread.index, spread.counts[spread.page]
    held = np.bincount(containers, prose)[containers]
    most = spread.most(held)
    leader = np.full(len(spread.counts), -1)
    found = np.flatnonzero(held == most)[::-1]
    leader[spread.page[found]] = found  # the first of each page: the last one written
    member = containers == containers[leader][spread.page]
    first = -spread.most(np.where(member, -index, -len(index)))
    last = spread.most(np.where(member, index, -1))
    here = np.arange(len(index))
    heading = (bits[:, _H1] | bits[:, _H2] | bits[:, _H3]).astype(bool)
    since = here - np.maximum.accumulate(np.where(heading, here, np.where(index == 0, here - 1, -1)))
    passed = spread.passed(sizes)
    titles = spread.passed(bits[:, _H1].astype(np.int64))
    total = spread.total(sizes)
    amounts = [index, counts - index, counts, total, most]
    amounts += [np.maximum(0, first - index), np.maximum(0, index - last), since]
    where = [index / counts, passed / total, index < first, index > last, held / np.maximum(most, 1), member]
    return np.stack(amounts), np.stack([*where, titles > 0, titles == spread.most(titles)])


def _words(pages: Sequence[Page]) -> NDArray[np.uint8]:
    """Repeated in the page, part of the title, and words of page furniture."""
    found = np.zeros((sum(len(page.texts) for page in pages), 2 + len(PHRASES)), np.uint8)
    row = 0
    for page in pages:
        texts, title = page.texts, page.title
        if len(set(texts)) < len(texts):
            seen = Counter(texts)
            found[row : row + len(texts), 0] = [seen[text] > 1 for text in texts]
        found[row : row + len(texts), 1] = [8 < len(text) < TITLE_LIMIT and text in title for text in texts]
        short = f" {BORDER} ".join([text if len(text) < PHRASE_LIMIT else "" for text in texts])
        for group in map(PHRASE_OF.get, short.lower().split()):
            if group == NEXT_BLOCK:
                row += 1
            elif group is not None:
                found[row, 2 + group] = 1
        row += 1
    return found


def _place(name: str) -> int:
    return TAG_BITS[name].bit_length() - 1


_H1, _H2, _H3 = _place("h1"), _place("h2"), _place("h3")
