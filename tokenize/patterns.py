r"""Where text is cut before merging: the pieces that no token crosses.

    gpt2          GPT-2's: words, numbers and punctuation, each with the space before it; white space
    gpt4          GPT-4's: a word takes any one character before it that is no line end; numbers go by three digits;
                  line ends stay with the punctuation or the white space before them
    gpt4-marks    GPT-4's, but combining marks are parts of words: else words of Hindi, Thai or Tamil end at each vowel
                  sign, and a decomposed é is cut in two
    anything else is a regular expression of its own, in Oniguruma's syntax: its matches are pieces, and so is what lies
                  between two matches

The alternatives, in order: an English contraction's ending; a word; a number; punctuation; white space up to a line's
end; white space except the last character, which belongs to the next word; white space.

Sources: Radford et al. 2019 and its `encoder.py`; the pattern that tiktoken publishes for cl100k_base.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..core.settings_tokenizer import PATTERNS

UNLIMITED = 1 << 62


@dataclass(frozen=True)
class Cutting:
    """A pattern in the terms of the compiled splitter: tokenize/splitting.py."""

    gpt4: bool  # GPT-4's rules for contractions, words, punctuation and white space; else GPT-2's
    marks: bool  # combining marks are parts of words
    most_digits: int  # of a number's piece


def regex_of(pattern: str, digits: int | None = None) -> str:
    """The regular expression of a pattern's name, or the own one that `pattern` is.

    digits: the most of a number in a piece; None: as the pattern has it (gpt2 any, gpt4 three).
    """
    if pattern == "gpt2":
        number = r" ?\p{N}" + {None: "+", 1: "", 3: "{1,3}"}[digits]
        return rf"'(?:[sdmt]|ll|ve|re)| ?\p{{L}}+|{number}| ?[^\s\p{{L}}\p{{N}}]+|\s+(?!\S)|\s+"
    if pattern not in PATTERNS:
        return pattern
    word = r"[\p{L}\p{M}]+" if pattern == "gpt4-marks" else r"\p{L}+"
    return "|".join(
        [
            r"'(?i:[sdmt]|ll|re|ve)",
            rf"[^\r\n\p{{L}}\p{{N}}]?{word}",
            r"\p{N}" if digits == 1 else r"\p{N}{1,3}",
            r" ?[^\s\p{L}\p{N}]+[\r\n]*",
            r"\s*[\r\n]+",
            r"\s+(?!\S)",
            r"\s+",
        ]
    )


def cutting_of(regex: str) -> Cutting | None:
    """What the compiled splitter has to do for a regular expression; None for one that it does not know."""
    return _KNOWN.get(regex)


_KNOWN = {
    regex_of(name, digits): Cutting(name != "gpt2", name == "gpt4-marks", most)
    for name, of_its_own in (("gpt2", UNLIMITED), ("gpt4", 3), ("gpt4-marks", 3))
    for digits, most in ((None, of_its_own), (1, 1), (3, 3))
}
