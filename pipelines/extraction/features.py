"""Numbers that describe a page's blocks, for the model: one row a block, in float32.

In: `blocks.Page`. Out: a matrix [blocks, WIDTH]. A row knows its block's text (length, links, punctuation, case), the
names and tags of its element, of the two around it and of all around it, how much text, links and prose stand in the
four elements around it, and where it stands: in the page, after which heading, and to the element with the most prose.
Neighbours are left to the model, which looks at a window of blocks.
"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from .blocks import Page
from .hints import BITS, TAG_BITS

Floats = NDArray[np.float32]
LEVELS = 4
FLAGS = 3 * len(BITS)
PHRASES = (  # words of page furniture in short blocks
    "share teilen tweet facebook twitter whatsapp pinterest linkedin email e-mail print drucken partager compartir follow",
    "comment comments kommentar kommentare reply replies antworten commentaire commentaires comentarios respond",
    "read more related also mehr weiter recommended next previous vorheriger nächster lire popular trending latest",
    "copyright © rights cookie cookies privacy newsletter subscribe sign login log anmelden impressum datenschutz terms",
    "by von posted published written updated filed tags categories category photo image foto source quelle par credit",
    "advertisement anzeige sponsored ad werbung advertise shop buy cart",
)
PHRASE_OF = {word + end: group for group, words in enumerate(PHRASES) for word in words.split() for end in ("", ":")}
PHRASE_LIMIT = 120  # characters: longer blocks are prose
PROSE_BYTES = 80


def _packed(*classes: bytes) -> NDArray[np.int64]:
    """A table from a byte to up to four counters of 16 bits, so that one sum counts four classes of characters."""
    table = np.zeros(256, np.int64)
    for place, members in enumerate(classes):
        table[np.frombuffer(members, np.uint8)] |= 1 << (16 * place)
    return table


_UPPER = bytes(range(65, 91))
_COUNTS = (
    _packed(b",;", b".!?\x82", b"0123456789", _UPPER),  # 0x82: the last byte of the ideographic full stop
    _packed(b" \n", bytes(range(0xE3, 0xEA)), b"|/:\xbb\xb7\xa9@#>*", b"\"'()\x9c\x9d\x9e\x99"),
)
_FIRST = _packed(_UPPER, bytes(range(97, 123)), b"0123456789")
_LAST = _packed(b".!?\x82", b":", b"\"')\x9c\x9d", b",-")
_SHIFTS = np.arange(0, 64, 16)


def _counters(packed: NDArray[np.int64]) -> NDArray[np.int64]:
    return (packed[:, None] >> _SHIFTS) & 0xFFFF


def features(page: Page) -> Floats:
    """The matrix of a page that has blocks."""
    texts = page.texts
    count = len(texts)
    encoded = [text.encode() for text in texts]
    sizes = np.array([*map(len, encoded)])
    data = np.frombuffer(b"".join(encoded), np.uint8)
    firsts = np.zeros(count, np.int64)
    np.cumsum(sizes[:-1], out=firsts[1:])
    owners, parents = np.array(page.owners), np.array(page.parents)
    linked = np.array(page.linked)
    around = np.empty((LEVELS, count), np.int64)  # a block's element, and those around it
    around[0] = owners
    for level in range(1, LEVELS):
        around[level] = parents[around[level - 1]]

    own = np.array(page.own)
    names = np.stack([own[owners], own[around[1]] | own[around[2]], np.array(page.inherited)[owners]], axis=1)
    flags = np.unpackbits(names.view(np.uint8).reshape(count, 3, 8), axis=2, bitorder="little")[:, :, : len(BITS)]

    counts = np.concatenate([_counters(np.add.reduceat(table[data], firsts)) for table in _COUNTS], axis=1)
    shape = np.concatenate([_counters(_FIRST[data[firsts]]), _counters(_LAST[data[firsts + sizes - 1]])], axis=1)
    density = linked / sizes
    prose = np.where((sizes >= PROSE_BYTES) & (density < 0.4) & (counts[:, 0] + counts[:, 1] > 0), sizes, 0)

    inside, shares = _surroundings(page, around, np.stack([sizes, linked, prose]))
    columns = [
        flags.reshape(count, FLAGS),
        np.log1p(np.column_stack([sizes, counts, inside.T])),
        np.column_stack([counts / sizes[:, None], density, shape, shares.T, _places(sizes, prose, around[1], flags)]),
        _words(texts, page.title),
    ]
    return np.concatenate(columns, axis=1, dtype=np.float32, casting="unsafe")


def _surroundings(page: Page, around: NDArray[np.int64], amounts: NDArray[np.int64]) -> tuple[NDArray, NDArray]:
    """How much stands in the elements around each block, and its shares: links in text, prose in text, in the page."""
    starts = page.starts
    ends = [0] * len(starts)
    for block, owner in enumerate(page.owners):
        ends[owner] = block + 1
    parents = page.parents
    for element in range(len(ends) - 1, 0, -1):
        if ends[element] > ends[parents[element]]:
            ends[parents[element]] = ends[element]
    sums = np.zeros((4, amounts.shape[1] + 1), np.int64)
    np.cumsum(amounts, axis=1, out=sums[:3, 1:])
    sums[3] = np.arange(sums.shape[1])
    inside = sums[:, np.array(ends)[around]] - sums[:, np.array(starts)[around]]
    size, links, prose, _ = inside
    share = [links / np.maximum(size, 1), prose / np.maximum(size, 1), prose / max(1, sums[2, -1]), size / sums[0, -1]]
    return inside.reshape(-1, around.shape[1]), np.concatenate(share)


def _places(sizes: NDArray, prose: NDArray, containers: NDArray, flags: NDArray[np.uint8]) -> NDArray:
    """Where a block stands: in the page, after headings, and to the element that holds the most prose."""
    count = len(sizes)
    index = np.arange(count)
    held = np.bincount(containers, prose)[containers]
    best = containers[held.argmax()]
    most = max(1.0, held.max())
    members = np.flatnonzero(containers == best)
    first, last = members[0], members[-1]
    headings = flags[:, 0, _H1] | flags[:, 0, _H2] | flags[:, 0, _H3]
    since = index - np.maximum.accumulate(np.where(headings, index, -1))
    passed = np.cumsum(sizes)
    titles = np.cumsum(flags[:, 0, _H1])
    return np.column_stack(
        [
            index / count,
            passed / passed[-1],
            np.log1p(index),
            np.log1p(count - index),
            np.full(count, np.log1p(count)),
            np.full(count, np.log1p(passed[-1])),
            np.full(count, np.log1p(most)),
            index < first,
            index > last,
            np.log1p(np.maximum(0, first - index)),
            np.log1p(np.maximum(0, index - last)),
            held / most,
            containers == best,
            np.log1p(since),
            titles > 0,
            titles == titles[-1],
        ]
    )


def _words(texts: list[str], title: str) -> NDArray:
    """Repeated in the page, part of the title, and one of the phrases of page furniture."""
    seen = Counter(texts)
    found = np.zeros((len(texts), 2 + len(PHRASES)))
    for row, text in enumerate(texts):
        if seen[text] > 1:
            found[row, 0] = 1
        if len(text) < PHRASE_LIMIT:
            if len(text) > 8 and text in title:
                found[row, 1] = 1
            for word in text.lower().split():
                if word in PHRASE_OF:
                    found[row, 2 + PHRASE_OF[word]] = 1
    return found


def _place(name: str) -> int:
    return TAG_BITS[name].bit_length() - 1


_H1, _H2, _H3 = _place("h1"), _place("h2"), _place("h3")
