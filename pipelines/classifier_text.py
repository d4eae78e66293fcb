"""What a quality classifier sees of a text: one line, in one of two forms.

    plain     the text as it is, on one line: what DCLM shows to its classifiers (Li et al. 2024)
    common    lower case, digits 0, punctuation apart, as in CCNet (Wenzek et al. 2020); a mark at each line's end for
              its length and ending; one mark for all words that are not common in both classes

A classifier that sees every word learns what encyclopedias and books are about, which says little about the quality of
a web page. The common words, the marks and their sequence are what is left of a text when its subject is taken away.
benchmarks/classifier.py compares the two on human labels.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

LABEL = "__label__"
DIGIT = re.compile(r"\d")
TOKEN = re.compile(r"\w+|[^\w\s]")
LINE_LENGTHS = (1, 2, 3, 5, 8, 12, 20, 40, 80)  # tokens; a line's mark says between which of them its length is
ENDS = ".!?…。！？"
WORD, SIGN = "<w>", "<s>"  # in place of a rare word, a rare sign


def plain(text: str) -> str:
    """The text on one line; what fastText would read as a label is none."""
    return " ".join(text.split()).replace(LABEL, "label")


def common(words: frozenset[str]) -> Callable[[str], str]:
    """The form `common`, for these common words."""

    def show(text: str) -> str:
        shown: list[str] = []
        for line in text.split("\n"):
            if tokens := line_tokens(line):
                shown += [token if token in words else WORD if token[0].isalnum() else SIGN for token in tokens]
                shown.append(f"<{bisect_left(LINE_LENGTHS, len(tokens))}{'.' if line.rstrip()[-1] in ENDS else ''}>")
        return " ".join(shown)

    return show


def line_tokens(line: str) -> list[str]:
    """Words and signs of a line."""
    return TOKEN.findall(DIGIT.sub("0", line.lower()))


def common_words(classes: Iterable[Sequence[str]], share: float) -> frozenset[str]:
    """The tokens that stand in at least this share of the texts of every class."""
    found: frozenset[str] | None = None
    for texts in classes:
        counts = Counter(token for text in texts for token in set(line_tokens(text)))
        here = frozenset(token for token, count in counts.items() if count >= share * len(texts))
        found = here if found is None else found & here
    return found or frozenset()
