"""The forms in which an evaluation item may stand in a document, and where each of their words stands in the item.

A web page that holds a question with its choices may have them one behind the other, lettered, or only the right one.
So of an item [question, choice, choice, …] the layouts are

    the question alone
    the question, and all choices
    the question, and all choices, lettered    a … b … c …
    the question's end, and one choice         for each choice

The item's characters are those of all its parts, joined by line feeds; a word knows its characters there, whatever the
layout, so that what is found of an item adds up. Letters before choices stand nowhere in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np

from .decontaminate_sets import Item
from .decontaminate_words import Words, words_of

NOWHERE = -1
WHOLE_LAYOUTS = 2  # the first ones: their words stand in the item one behind the other
_TAIL = 40  # words of a question that may share an n-gram with a choice, and some more for what is no word


@dataclass(frozen=True)
class Layout:
    """A text, and the pieces of it: (first character here, first character in the item or NOWHERE).

    `speaks` says that the text alone, however short, tells the item: all of it, or a question that ends as one. The
    beginning of a sentence that a choice completes ("The enzymes of glycolysis are located in the") does not.
    """

    text: str
    pieces: list[tuple[int, int]]
    speaks: bool


def whole(item: Item) -> str:
    """The item's characters."""
    return "\n".join(item)


def layouts(item: Item) -> list[Layout]:
    """All layouts of an item, in a fixed order."""
    places = np.cumsum([0, *(len(part) + 1 for part in item)]).tolist()
    parts = list(zip(item, places, strict=False))
    asks = len(parts) == 1 or item[0].rstrip().endswith(("?", "？"))
    found = [_joined(parts[:1], asks)]
    if len(parts) > 1:
        found.append(_joined(parts))
    if len(parts) > 2:
        marks = [[(ascii_lowercase[number % 26], NOWHERE), part] for number, part in enumerate(parts[1:])]
        found.append(_joined([parts[0], *(piece for pair in marks for piece in pair)]))
        found += [_joined([_tail(*parts[0]), choice], False) for choice in parts[1:]]
    return found


def _tail(text: str, place: int) -> tuple[str, int]:
    """The last words of a text."""
    words = text.rsplit(maxsplit=_TAIL)
    if len(words) <= _TAIL:
        return text, place
    cut = len(words[0])
    return text[cut:], place + cut


def _joined(parts: Sequence[tuple[str, int]], speaks: bool = True) -> Layout:
    pieces: list[tuple[int, int]] = []
    length = 0
    for text, place in parts:
        pieces.append((length, place))
        length += len(text) + 1
    return Layout("\n".join(text for text, _ in parts), pieces, speaks)


def words_in_items(forms: Sequence[Layout], spelling: int) -> tuple[Words, np.ndarray, np.ndarray]:
    """The words of layouts, and the first and last characters of each in its item; NOWHERE for letters."""
    words = words_of([form.text for form in forms], spelling)
    sizes = [len(form.pieces) for form in forms]
    here = np.array([here for form in forms for here, _ in form.pieces], dtype=np.int64)
    there = np.array([there for form in forms for _, there in form.pieces], dtype=np.int64)
    span = max((len(form.text) for form in forms), default=0) + 1
    keys = here + np.repeat(np.arange(len(forms)), sizes) * span
    piece = np.searchsorted(keys, words.starts + words.owners * span, side="right") - 1
    shift = there[piece] - here[piece]
    nowhere = there[piece] == NOWHERE
    return words, np.where(nowhere, NOWHERE, words.starts + shift), np.where(nowhere, NOWHERE, words.stops + shift)
