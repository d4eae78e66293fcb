"""Words as numbers: each distinct run of non-blanks is tokenised once, by spaCy itself, and remembered.

spaCy cuts a text at white space first, and then each chunk by rules that look at nothing but the chunk: the words of a
text are the words of its chunks. So `text.split()` and look-ups replace spaCy's pass over the text, and words become
integers, their lengths, hashes and classes columns that NumPy works on. Two cases need more:

- some languages have words that hold a blank ("EE. UU."); a text where the parts of one meet is given to spaCy whole,
- tokenizers that look at the whole text (spaCy's for Chinese, Japanese, Vietnamese; other packages') are given it.

Memory: some 400 bytes a remembered chunk. Beyond LIMIT of them everything is forgotten, between two batches.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from itertools import chain, count, islice
from typing import NamedTuple

import numpy as np
from datatrove.pipeline.filters.gopher_quality_filter import STOP_WORDS
from datatrove.utils.word_tokenizers import WordTokenizer
from spacy.pipeline import Sentencizer

from ...dedup.hashing import powers
from ..words import RememberingSpaCy, tokenizer_for
from .characters import ALPHA, PUNCT, SYMBOL, points, table
from .chunks import Chunks
from .columns import Column, owners, spread

LIMIT = 250_000  # chunks and words, of all languages together
BASE = 0x9E6C63D0876A9A47  # of the polynomials that words, and runs of words, are hashed by; odd
STOP_BITS = {word: 1 << number for number, word in enumerate(STOP_WORDS)}
CLOSING = frozenset(Sentencizer.default_punct_chars)
CLOSES, INSIDE, OPENS = 0, 1, 2  # what a word is to spaCy's sentencizer: ends a sentence, goes on, may begin one


class Words(NamedTuple):
    """The words of a batch of texts, one after another."""

    ids: np.ndarray  # int32 [words], rows of the lexicon's columns
    counts: np.ndarray  # int64 [texts]
    whole: np.ndarray  # bool [texts]: the words depend on more than the chunks


class Lexicon:
    """The words that were met, with their lengths, hashes and classes; and what each tokenizer made of chunks."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._forget()

    def _forget(self) -> None:
        self._rows: defaultdict[str, int] = defaultdict(count().__next__)
        self._chunks: dict[WordTokenizer, Chunks | None] = {}
        self.lengths, self.hashes, self.powers = Column(np.int64), Column(np.uint64), Column(np.uint64)
        self.symbol, self.alpha = Column(np.bool_), Column(np.bool_)
        self.stop = Column(np.uint8)  # a bit for each of Gopher's stop words
        self.sentence = Column(np.uint8)  # CLOSES, INSIDE, OPENS

    @property
    def size(self) -> int:
        """Chunks and words that are remembered."""
        return len(self._rows) + sum(len(one) for one in self._chunks.values() if one is not None)

    def read(self, texts: Sequence[str], languages: Sequence[str]) -> Words:
        """The words of texts, as datatrove's tokenizer for each language cuts them. May forget older words."""
        if self.size > self._limit:
            self._forget()
        parts: list[np.ndarray] = [np.zeros(0, dtype=np.int32)] * len(texts)
        whole = np.ones(len(texts), dtype=np.bool_)
        for tokenizer, places in _groups(languages).items():
            if (chunks := self._known(tokenizer)) is not None:
                lists = [texts[at].split() for at in places]
                rows = chunks.look_up(chain.from_iterable(lists), self.ids)
                ends = np.cumsum([len(one) for one in lists])
                for at, of_text in zip(places, np.split(rows, ends[:-1]), strict=True):
                    if not chunks.hold_blanks(of_text):
                        parts[at], whole[at] = chunks.words_of(of_text), False
            for at in places:
                if whole[at]:
                    parts[at] = self.ids(tokenizer.word_tokenize(texts[at]))
        counts = np.fromiter(map(len, parts), dtype=np.int64, count=len(parts))
        return Words(np.concatenate(parts) if parts else np.zeros(0, dtype=np.int32), counts, whole)

    def read_lines(
        self, texts: Sequence[Sequence[str]], languages: Sequence[str], whole: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of texts given as lines: how many sentences the lines hold, each line by itself, and how many words."""
        sentences, words = np.zeros(len(texts)), np.zeros(len(texts))
        for tokenizer, places in _groups(languages).items():
            chunks = self._known(tokenizer)
            together = [at for at in places if chunks is not None and not whole[at]]
            if chunks is not None and together:
                counted = self._count(chunks, [line for at in together for line in texts[at]])
                owner = owners(np.array([len(texts[at]) for at in together]))
                for target, per_line in zip((sentences, words), counted, strict=True):
                    target[together] = np.bincount(owner, per_line, minlength=len(together))
            for at in set(places) - set(together):
                sentences[at] = sum(max(1, len(tokenizer.span_tokenize(line))) for line in texts[at])
                words[at] = len(tokenizer.word_tokenize("\n".join(texts[at])))
        return sentences, words

    def ids(self, words: Iterable[str]) -> np.ndarray:
        """Rows of words in the columns; new words are entered."""
        known = len(self._rows)
        found = np.fromiter(map(self._rows.__getitem__, words), dtype=np.int32)
        if new := len(self._rows) - known:
            self._enter(list(islice(reversed(self._rows), new))[::-1])
        return found

    def _enter(self, words: list[str]) -> None:
        lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        ends = np.cumsum(lengths)
        starts = ends - lengths
        letters = points("".join(words))
        bits = table()[letters]
        some, every = np.bitwise_or.reduceat(bits, starts), np.bitwise_and.reduceat(bits, starts)
        steps = powers(BASE, int(lengths.max()) + 1)
        terms = (letters.astype(np.uint64) + np.uint64(1)) * steps[
            np.repeat(ends, lengths) - 1 - np.arange(len(letters))
        ]
        self.lengths.extend(lengths)
        self.hashes.extend(np.add.reduceat(terms, starts))
        self.powers.extend(steps[lengths])
        self.symbol.extend(every & SYMBOL != 0)
        self.alpha.extend(some & ALPHA != 0)
        self.stop.extend(np.array([STOP_BITS.get(word, 0) for word in words], dtype=np.uint8))
        closes = np.array([word in CLOSING for word in words])
        self.sentence.extend(np.where(closes, CLOSES, np.where(every & PUNCT != 0, INSIDE, OPENS)))

    def _known(self, tokenizer: WordTokenizer) -> Chunks | None:
        """What is known of a tokenizer that cuts chunks; None for one that looks at the whole text."""
        if tokenizer not in self._chunks:
            self._chunks[tokenizer] = Chunks(tokenizer) if isinstance(tokenizer, RememberingSpaCy) else None
        return self._chunks[tokenizer]

    def _count(self, chunks: Chunks, lines: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Sentences and words of each line.

        spaCy's sentencizer: behind a word that closes, the next that is no punctuation begins a sentence. White space
        of more than a blank is a token for spaCy, and begins one too.
        """
        lists = [chunks.with_gaps(line) for line in lines]
        rows = chunks.look_up(chain.from_iterable(lists), self.ids)
        per_chunk, is_gap = chunks.counts[rows], chunks.gap[rows]
        of_chunk = owners(np.array([len(one) for one in lists], dtype=np.int64))
        words = np.bincount(of_chunk, per_chunk * ~is_gap, minlength=len(lines))
        kinds = self.sentence[chunks.words[spread(chunks.starts[rows], per_chunk)]]
        of_word = np.repeat(of_chunk, per_chunk)
        matters = kinds != INSIDE
        kinds, of_word = kinds[matters], of_word[matters]
        begins = (kinds[:-1] == CLOSES) & (kinds[1:] == OPENS) & (of_word[:-1] == of_word[1:])
        return 1 + np.bincount(of_word[1:][begins], minlength=len(lines)), words


def _groups(languages: Sequence[str]) -> dict[WordTokenizer, list[int]]:
    """The places of a batch that share a tokenizer."""
    found: dict[WordTokenizer, list[int]] = {}
    for place, language in enumerate(languages):
        found.setdefault(tokenizer_for(language), []).append(place)
    return found
