"""Words and sentences for datatrove's filters, the same as datatrove's, in less time.

datatrove runs spaCy's whole pipeline, sentence marks included, also when a filter wants words only, and makes spaCy
forget every new word after each text, and after each line where sentences are counted. Its filters accept a tokenizer
object in place of a language; ours marks sentences only when asked, and lets spaCy remember the first words it meets.
datatrove keeps the words of the last texts, so that all filters of a document share one tokenisation.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any

from datatrove.utils.word_tokenizers import SpaCyTokenizer, WordTokenizer, load_word_tokenizer, strip_strings
from spacy.attrs import IS_PUNCT
from spacy.lang.lex_attrs import is_punct
from spacy.language import Language
from spacy.tokens import Doc

FALLBACK = "en"
REMEMBERED_WORDS = 200_000  # some tens of MB a process; words met later are forgotten after each text
QUIRK = "IS_ALPHA"  # breaks spaCy's tokenizer when it is met again; datatrove cuts it out then
OWN_TOKENIZERS = ("ja", "zh", "vi")  # languages for which datatrove sets spaCy up in a way of its own


class RememberingSpaCy(SpaCyTokenizer):
    """datatrove's spaCy tokenizer with the words and sentences of the original.

    spaCy describes each new word by a dozen features, in Python. The sentencizer reads one of them: no other is made.
    """

    @property
    def tokenizer(self) -> Language:
        fresh = self._tokenizer is None
        loaded: Any = super().tokenizer
        if fresh:
            loaded.vocab.lex_attr_getters = {IS_PUNCT: is_punct}
        return loaded

    def _zone(self) -> AbstractContextManager[object]:
        return nullcontext() if len(self.tokenizer.vocab) < REMEMBERED_WORDS else self.tokenizer.memory_zone()

    def _parse(self, text: str) -> Doc:
        return self.tokenizer.tokenizer(text)

    def word_tokenize(self, text: str) -> list[str]:
        if QUIRK in text:
            return super().word_tokenize(text)
        with self._zone():
            return strip_strings([token.text for token in self._parse(text)])

    def span_tokenize(self, text: str) -> list[tuple[int, int]]:
        if QUIRK in text:
            return super().span_tokenize(text)
        with self._zone():
            marked = self.tokenizer.get_pipe("sentencizer")(self._parse(text))
            return [(sentence.start_char, sentence.end_char) for sentence in marked.sents]


@lru_cache(maxsize=256)
def tokenizer_for(language: str) -> WordTokenizer:
    """The tokenizer that datatrove assigns to an ISO 639 code; English where it has none or its package is missing."""
    try:
        tokenizer = load_word_tokenizer(language)
        if type(tokenizer) is SpaCyTokenizer and tokenizer.language not in (None, *OWN_TOKENIZERS):
            tokenizer = RememberingSpaCy(str(tokenizer.language), tokenizer.config)
        tokenizer.word_tokenize("a b")  # loads lazily: what is missing shows only now
    except (ValueError, ImportError, LookupError, OSError):
        return tokenizer_for(FALLBACK)
    return tokenizer
