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
    """What is left of a text. lines: its lines, stripped.

    Most texts hold nothing of what most rules look for: what does not stand in the text is not looked for in its lines.
    """
    cited = settings.remove_citations and "[" in text and CITATION_REGEX.search(text) is not None
    lowered = text.lower()

    def sought(wanted: bool, *phrases: str) -> tuple[str, ...]:  # a removed citation may leave a phrase that was none
        return tuple(one for one in phrases if cited or one in lowered) if wanted else ()

    lorem, curly = sought(settings.filter_lorem_ipsum, LOREM), sought(settings.filter_curly_bracket, "{")
    script, policy = sought(settings.filter_javascript, SCRIPT), sought(settings.filter_policy, *POLICY_SUBSTRINGS)
    least, longest = settings.min_words_per_line, settings.max_word_length
    if not (cited or lorem or curly or script or policy or settings.filter_no_terminal_punct):
        if longest != -1 and any(map(longest.__lt__, map(len, lines))):
            return Lines([line for line in lines if _fits(line, least, longest)])
        return Lines([line for line in lines if len(line.split(None, max(0, least - 1))) >= least])
    kept: list[str] = []
    lorems = curlies = 0
    for whole in lines:  # in datatrove's order of rules; but it stops at the line that condemns, and here all are seen
        line = CITATION_REGEX.sub("", whole) if cited and "[" in whole else whole
        if settings.filter_no_terminal_punct and (not line.endswith(END_PUNCTUATION) or line.endswith(ELLIPSIS)):
            continue
        if not _fits(whole, least, longest):
            continue
        small = line.lower()
        if lorem and LOREM in small:
            lorems += not curlies  # the first line of either kind gives the reason
        elif script and SCRIPT in small:
            continue
        elif curly and "{" in line:
            curlies += not lorems
        if policy and any(phrase in small for phrase in policy):
            continue
        kept.append(line)
    return Lines(kept, lorems, curlies)


def _fits(line: str, least: int, longest: int) -> bool:
    """Whether a line has words enough, and none that is too long."""
    words = line.split()
    return len(words) >= least and (longest == -1 or len(line) <= longest or max(map(len, words)) <= longest)
