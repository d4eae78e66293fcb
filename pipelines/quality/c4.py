"""C4's rules on lines (Raffel et al. 2020), as datatrove's C4QualityFilter reads them: what is left of a text."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from typing import NamedTuple

import numpy as np
from datatrove.pipeline.filters.c4_filters import CITATION_REGEX, ELLIPSIS, END_PUNCTUATION, POLICY_SUBSTRINGS

from ...core.settings_filters import C4Quality
from .columns import totals
from .lexicon import Lexicon
from .tokens import Words

LOREM = "lorem ipsum"
SCRIPT = "javascript"


class Lines(NamedTuple):
    """The lines that stay, and how many of those that C4 looked at hold what condemns the whole text."""

    kept: list[str]
    lorem_ipsum: int = 0
    curly_bracket: int = 0
    dropped: Sequence[int] = ()  # places of lines that fell though they fit
    altered: Sequence[int] = ()  # places of kept lines that a citation was cut out of
    rewritten: Sequence[str] = ()  # these lines, as they are kept


class Remains(NamedTuple):
    """What is left of a batch of texts: lines, sentences in these (each line by itself), words."""

    lines: list[Lines]
    sentences: np.ndarray
    words: np.ndarray


def remains(
    texts: Sequence[str],
    languages: Sequence[str],
    lines: Sequence[list[str]],
    words: Words,
    lexicon: Lexicon,
    settings: C4Quality,
) -> Remains:
    """What C4 leaves of texts. lines: those of each text, stripped; words: of the texts, as the lexicon read them.

    Words and sentences of lines come from the chunks that were read. Read again are lines that a citation was cut out
    of, and all lines of a text whose words depend on more than chunks, or if lines without a word may stay.
    """
    found, least, most = lexicon.lines(words.chunks), settings.min_words_per_line, settings.max_word_length
    fits = (found.chunks >= least) & ((found.longest <= most) | (most == -1))
    borders = np.searchsorted(found.owner, np.arange(len(texts) + 1)).tolist()
    kept: list[Lines] = []
    again: dict[int, Sequence[str]] = {}
    for place, text in enumerate(texts):
        begin, end = borders[place : place + 2]
        if words.whole[place] or least < 1:
            fit = [_fits(line, least, most) for line in lines[place]]
            kept.append(kept_lines(lines[place], text, settings, fit))
            fits[begin:end] = False
            again[place] = kept[-1].kept
        else:
            one = kept_lines(list(filter(None, lines[place])), text, settings, fits[begin:end].tolist())
            kept.append(one)
            if one.dropped or one.altered:
                fits[[begin + line for line in (*one.dropped, *one.altered)]] = False
                again[place] = one.rewritten
    sentences, counts = (
        totals(found.owner[fits], column[fits], len(texts)).astype(np.float64)  # without a line, NumPy's are integers
        for column in (found.sentences, found.words)
    )
    if again:
        places = list(again)
        more = lexicon.read_lines(
            list(again.values()), [languages[place] for place in places], np.ones(len(places), dtype=np.bool_)
        )
        sentences[places] += more[0]
        counts[places] += more[1]
    return Remains(kept, sentences, counts)


def kept_lines(lines: list[str], text: str, settings: C4Quality, fits: list[bool]) -> Lines:
    """What is left of a text. fits: the lines that have words enough, and none that is too long.

    Most texts hold nothing of what most rules look for: what does not stand in the text is not looked for in its lines.
    """
    cited = settings.remove_citations and "[" in text and CITATION_REGEX.search(text) is not None
    lowered = (CITATION_REGEX.sub("", text) if cited else text).lower()

    def sought(wanted: bool, *phrases: str) -> tuple[str, ...]:
        return tuple(one for one in phrases if one in lowered) if wanted else ()

    lorem, curly = sought(settings.filter_lorem_ipsum, LOREM), sought(settings.filter_curly_bracket, "{")
    script, policy = sought(settings.filter_javascript, SCRIPT), sought(settings.filter_policy, *POLICY_SUBSTRINGS)
    if not (cited or lorem or curly or script or policy or settings.filter_no_terminal_punct):
        return Lines(list(compress(lines, fits)))
    kept: list[str] = []
    dropped: list[int] = []
    altered: list[int] = []
    rewritten: list[str] = []
    lorems = curlies = 0
    for place in compress(range(len(lines)), fits):  # in datatrove's order of rules; but it stops at the line that
        whole = lines[place]  # condemns, and here all are seen
        line = CITATION_REGEX.sub("", whole) if cited and "[" in whole else whole
        small = line.lower() if lorem or script or policy else ""
        if settings.filter_no_terminal_punct and (not line.endswith(END_PUNCTUATION) or line.endswith(ELLIPSIS)):
            dropped.append(place)
            continue
        if lorem and LOREM in small:
            lorems += not curlies  # the first line of either kind gives the reason
        elif script and SCRIPT in small:
            dropped.append(place)
            continue
        elif curly and "{" in line:
            curlies += not lorems
        if policy and any(map(small.__contains__, policy)):
            dropped.append(place)
            continue
        kept.append(line)
        if line is not whole and line != whole:
            altered.append(place)
            rewritten.append(line)
    return Lines(kept, lorems, curlies, dropped, altered, rewritten)


def _fits(line: str, least: int, longest: int) -> bool:
    """Whether a line has words enough, and none that is too long."""
    words = line.split()
    return len(words) >= least and (longest == -1 or len(line) <= longest or max(map(len, words)) <= longest)
