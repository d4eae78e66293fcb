"""Words and sentences for datatrove's filters, the same as datatrove's, in less time.

datatrove runs spaCy's whole pipeline, sentence marks included, also when a filter wants words only. Its filters accept
a tokenizer object in place of a language, and remember the words of the last texts by it, so that all filters of a
document share one tokenisation.
"""

from __future__ import annotations

from functools import lru_cache

from datatrove.utils.word_tokenizers import SpaCyTokenizer, WordTokenizer, load_word_tokenizer, strip_strings

FALLBACK = "en"


class WordsOnlySpaCy(SpaCyTokenizer):
    """datatrove's spaCy tokenizer; word_tokenize leaves out the sentence marks that it does not need."""

    def word_tokenize(self, text: str) -> list[str]:
        with self.tokenizer.memory_zone():
            return strip_strings([token.text for token in self.tokenizer.tokenizer(text)])


@lru_cache(maxsize=256)
def tokenizer_for(language: str) -> WordTokenizer:
    """The tokenizer that datatrove assigns to an ISO 639 code; English where it has none or its package is missing."""
    try:
        tokenizer = load_word_tokenizer(language)
        tokenizer.word_tokenize("a b")  # loads lazily: what is missing shows only now
    except (ValueError, ImportError, LookupError, OSError):
        tokenizer = load_word_tokenizer(FALLBACK)
    if type(tokenizer) is SpaCyTokenizer and tokenizer.language not in (None, "ja", "zh", "vi"):
        return WordsOnlySpaCy(str(tokenizer.language), tokenizer.config)
    return tokenizer
