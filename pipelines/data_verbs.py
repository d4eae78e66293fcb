"""The verbs below `crawl2chat data`: what one does with a run's documents besides making them.

`crawl2chat data RECIPE` itself is a stage verb like the others; `crawl2chat data WORD …` is one of these when WORD is.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

Verb = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]

WORDS: dict[str, Callable[[Verb], None]] = {}  # the word after `data`, and what adds its parser


def one_word(argv: Sequence[str]) -> list[str]:
    """`data WORD …` as one verb, which is how argparse knows it."""
    if len(argv) > 1 and argv[0] == "data" and argv[1] in WORDS:
        return [f"data {argv[1]}", *argv[2:]]
    return list(argv)


def add_data_verbs(verb: Verb) -> None:
    """`verb(name, about, function)` adds a parser to the command line."""
    for add in WORDS.values():
        add(verb)
