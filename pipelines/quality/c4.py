"""C4's rules on lines (Raffel et al. 2020), as datatrove's C4QualityFilter reads them: what is left of a text."""

from __future__ import annotations

from typing import NamedTuple

from datatrove.pipeline.filters.c4_filters import CITATION_REGEX, ELLIPSIS, END_PUNCTUATION, POLICY_SUBSTRINGS

from ...core.settings_filters import C4Quality

LOREM = "lorem ipsum"
SCRIPT = "javascript"


class Lines(NamedTuple):
    """The lines that stay, and how many of those that C4 looked at hold what condemns the whole text."""

    kept: list[str]
    lorem_ipsum: int = 0
    curly_bracket: int = 0


def kept_lines(lines: list[str], text: str, settings: C4Quality) -> Lines:
    """lines: those of the text, stripped. Most texts hold nothing that a rule but the lengths of lines looks for."""
    lowered = text.lower()
    plain = (
        not settings.filter_no_terminal_punct
        and not (settings.filter_curly_bracket and "{" in text)
        and not (settings.filter_javascript and SCRIPT in lowered)
        and not (settings.filter_lorem_ipsum and LOREM in lowered)
        and not (settings.filter_policy and any(phrase in lowered for phrase in POLICY_SUBSTRINGS))
        and not (settings.remove_citations and "[" in text and CITATION_REGEX.search(text))
    )
    least, most = settings.min_words_per_line, settings.max_word_length
    if plain:
        return Lines([line for line in lines if _fits(line, line.split(), least, most)])
    return _one_by_one(lines, settings)


def _fits(line: str, words: list[str], least: int, most: int) -> bool:
    return len(words) >= least and (most == -1 or len(line) <= most or max(map(len, words)) <= most)


def _one_by_one(lines: list[str], settings: C4Quality) -> Lines:
    """datatrove's order of rules; but it stops at the first line that condemns the text, and here all are looked at."""
    kept: list[str] = []
    lorem = curly = 0
    for whole in lines:
        words = whole.split()
        if settings.max_word_length != -1 and any(len(word) > settings.max_word_length for word in words):
            continue
        line = CITATION_REGEX.sub("", whole) if settings.remove_citations else whole
        if settings.filter_no_terminal_punct and (not line.endswith(END_PUNCTUATION) or line.endswith(ELLIPSIS)):
            continue
        if len(words) < settings.min_words_per_line:
            continue
        lowered = line.lower()
        if settings.filter_lorem_ipsum and LOREM in lowered:
            lorem += not curly  # the first of both gives the reason
        elif settings.filter_javascript and SCRIPT in lowered:
            continue
        elif settings.filter_curly_bracket and "{" in line:
            curly += not lorem
        if settings.filter_policy and any(phrase in lowered for phrase in POLICY_SUBSTRINGS):
            continue
        kept.append(line)
    return Lines(kept, lorem, curly)
