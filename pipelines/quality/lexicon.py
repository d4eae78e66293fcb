"""Words as numbers: each distinct chunk (run of non-blanks) is tokenised once, by spaCy itself, and remembered.

spaCy cuts a text at white space first, and then each chunk by rules that look at nothing but the chunk: the words of a
text are the words of its chunks. So hashing the chunks of a whole batch and looking them up replaces spaCy's pass over
the texts, and words become integers; their lengths, hashes and classes are columns that NumPy works on. But:

- some languages have words that hold a blank ("EE. UU."); a text where the parts of one meet is given to spaCy whole,
- tokenizers that look at the whole text (spaCy's for Chinese, Japanese, Vietnamese; other packages') are given it.

Memory: some 200 bytes a remembered chunk. Beyond LIMIT of them everything is forgotten, between two batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from datatrove.pipeline.filters.gopher_quality_filter import STOP_WORDS
from datatrove.utils.word_tokenizers import WordTokenizer
from spacy.pipeline import Sentencizer

from ...core.compiled import compiled
from ...dedup.hashing import mix, powers
from ..words import RememberingSpaCy, tokenizer_for
from .characters import ALPHA, PUNCT, SYMBOL, points, table
from .columns import Column, owners
from .cutting import BASE, Cut, cut, polynomial
from .hash_table import HashTable
from .spacy_words import SpaCyWords
from .tokens import Chunks, LineCounts, Words

LIMIT = 250_000  # chunks, of all languages together
SALT = np.uint64(0xBF58476D1CE4E5B9)
STOP_BITS = {word: 1 << number for number, word in enumerate(STOP_WORDS)}
CLOSING = frozenset(Sentencizer.default_punct_chars)
CLOSES, INSIDE, OPENS = 0, 1, 2  # what a word is to spaCy's sentencizer: ends a sentence, goes on, may begin one


class Lexicon:
    """The chunks and words that were met: a chunk's words; a word's length, hash and classes."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._tokenizers: dict[WordTokenizer, int] = {}  # numbered as they come
        self._forget()

    def _forget(self) -> None:
        self._chunks, self._words = HashTable(), HashTable()
        self._starts, self._counts, self._flat = Column(np.int64), Column(np.int64), Column(np.int32)
        self._joins = Column(np.uint8)
        self.lengths, self.hashes, self.powers = Column(np.int32), Column(np.uint64), Column(np.uint64)
        self.symbol, self.alpha = Column(np.bool_), Column(np.bool_)
        self.stop = Column(np.uint8)  # a bit for each of Gopher's stop words
        self.sentence = Column(np.uint8)  # CLOSES, INSIDE, OPENS

    def __len__(self) -> int:
        return len(self._chunks)

    def read(self, texts: Sequence[str], languages: Sequence[str]) -> Words:
        """The words of texts, as datatrove's tokenizer for each language cuts them. May forget older words."""
        if len(self) > self._limit:
            self._forget()
        return self._read(texts, languages)

    def _read(self, texts: Sequence[str], languages: Sequence[str]) -> Words:
        tokenizers = [tokenizer_for(language) for language in languages]
        whole = np.array([_cuts_chunks(one) is None for one in tokenizers], dtype=np.bool_)
        found = cut(["" if apart else text for text, apart in zip(texts, whole, strict=True)])
        rows = self._rows(found, tokenizers)
        joins = self._joins[rows]
        meet = np.flatnonzero(joins[:-1] & (joins[1:] >> 1) & (found.owner[:-1] == found.owner[1:]))
        whole[found.owner[meet]] = True
        counts = np.bincount(found.owner, self._counts[rows], minlength=len(texts)).astype(np.int64)
        ids = _words(rows, *self._columns())
        if whole.any():
            parts = np.split(ids, np.cumsum(counts)[:-1])
            for at in np.flatnonzero(whole).tolist():
                parts[at] = self._read_whole(texts[at], languages[at], tokenizers[at])
                counts[at] = len(parts[at])
            ids = np.concatenate(parts)
        return Words(ids, counts, whole, Chunks.of_cut(found, rows, len(texts)))

    def _read_whole(self, text: str, language: str, tokenizer: WordTokenizer) -> np.ndarray:
        """The words of a text that is more than its chunks. Words that hold a blank stand within a line."""
        lines = text.split("\n")
        if _cuts_chunks(tokenizer) is None or len(lines) == 1:
            return self._ids(tokenizer.word_tokenize(text))
        return self._read(lines, [language] * len(lines)).ids

    def lines(self, chunks: Chunks) -> LineCounts:
        """The lines of texts whose words depend on the chunks alone, without reading them again."""
        starts = np.flatnonzero(chunks.first)
        line = np.cumsum(chunks.first) - 1
        sentences, words = self._count(chunks.rows, line, chunks.gap, len(starts))
        sizes = np.diff(starts, append=len(line))
        longest = np.maximum.reduceat(chunks.sizes, starts) if len(starts) else sizes
        return LineCounts(owners(chunks.counts)[starts], sizes, longest, sentences, words)

    def read_lines(
        self, texts: Sequence[Sequence[str]], languages: Sequence[str], whole: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of texts given as lines: how many sentences the lines hold, each line by itself, and how many words.

        whole: of the texts that the lines are from, as `read` found it.
        """
        tokenizers = [tokenizer_for(language) for language in languages]
        owner = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
        lines = [line for text in texts for line in text]
        apart = whole[owner]
        doubtful = [at for at in np.flatnonzero(apart).tolist() if _cuts_chunks(tokenizers[owner[at]]) is not None]
        if doubtful:  # of most texts that are more than their chunks, few lines are
            apart[doubtful] = self._read(
                [lines[at] for at in doubtful], [languages[owner.item(at)] for at in doubtful]
            ).whole
        rest = np.flatnonzero(~apart)
        found = cut([lines[at] for at in rest.tolist()])
        rows = self._rows(found, [tokenizers[at] for at in owner[rest].tolist()])
        counted = self._count(rows, found.owner, found.gap, len(rest), found.tail)
        sentences, words = (np.bincount(owner[rest], per_line, minlength=len(texts)) for per_line in counted)
        for place in np.flatnonzero(apart).tolist():
            tokenizer = tokenizers[owner[place]]
            sentences[owner[place]] += max(1, len(tokenizer.span_tokenize(lines[place])))
            if _cuts_chunks(tokenizer) is not None:
                words[owner[place]] += len(tokenizer.word_tokenize(lines[place]))
        for at, tokenizer in enumerate(tokenizers):
            if _cuts_chunks(tokenizer) is None:
                words[at] = len(tokenizer.word_tokenize("\n".join(texts[at])))
        return sentences, words

    def _count(
        self, rows: np.ndarray, owner: np.ndarray, gap: np.ndarray, lines: int, tail: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Sentences and words of each line. owner: the line of each chunk; gap, tail: see Cut, of lines.

        spaCy's sentencizer: behind a word that closes, the next that is no punctuation begins a sentence. White space
        other than one blank is a token to spaCy, and begins one as well.
        """
        tail = np.zeros(lines, np.bool_) if tail is None else tail
        return _sentences(rows, owner, gap, tail, *self._columns(), self.sentence.filled)

    def _columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where each chunk's words begin, how many they are, and the words of all chunks."""
        return self._starts.filled, self._counts.filled, self._flat.filled

    def _rows(self, found: Cut, tokenizers: Sequence[WordTokenizer]) -> np.ndarray:
        """The rows of chunks; new ones are tokenised. tokenizers: one for each string."""
        numbers = self._tokenizers
        spoken = np.array([numbers.setdefault(one, len(numbers) + 1) for one in tokenizers], dtype=np.uint64)
        keys = np.maximum(1, mix(found.hashes + spoken[found.owner] * SALT))
        rows = self._chunks.look_up(keys)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            new, first = np.unique(keys[missing], return_index=True)
            for tokenizer, places in _groups(tokenizers, found.owner[missing[first]]).items():
                self._learn(tokenizer, new[places], found, missing[first[places]])
            rows[missing] = self._chunks.look_up(keys[missing])
        return rows

    def _learn(self, tokenizer: WordTokenizer, keys: np.ndarray, found: Cut, at: np.ndarray) -> None:
        """Enter chunks that were not met before: those at places `at` of what was cut."""
        speaks = _cuts_chunks(tokenizer)
        assert speaks is not None, "a chunk of a text that is read as a whole"
        borders = zip(found.starts[at].tolist(), found.ends[at].tolist(), strict=True)
        chunks = [found.joined[start:end] for start, end in borders]
        words, numbers = speaks.of(chunks)
        counts = np.array(numbers, dtype=np.int64)
        self._chunks.add(keys)
        self._starts.extend(len(self._flat) + np.cumsum(counts) - counts)
        self._counts.extend(counts)
        self._flat.extend(self._ids(words))
        self._joins.extend(np.array([speaks.joins(chunk) for chunk in chunks], dtype=np.uint8))

    def _ids(self, words: list[str]) -> np.ndarray:
        """Rows of words; new ones are entered."""
        lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
        letters = points("".join(words))
        hashes = polynomial(letters, lengths)
        keys = np.maximum(1, mix(hashes))
        rows = self._words.look_up(keys)
        missing = np.flatnonzero(rows < 0)
        if len(missing):
            new, first = np.unique(keys[missing], return_index=True)
            at = missing[first]
            self._words.add(new)
            self._describe([words[place] for place in at.tolist()], lengths[at], hashes[at])
            rows[missing] = self._words.look_up(keys[missing])
        return rows

    def _describe(self, words: list[str], lengths: np.ndarray, hashes: np.ndarray) -> None:
        """The columns of new words."""
        bits = table()[points("".join(words))]
        starts = np.cumsum(lengths) - lengths
        some, every = np.bitwise_or.reduceat(bits, starts), np.bitwise_and.reduceat(bits, starts)
        self.lengths.extend(lengths)
        self.hashes.extend(hashes)
        self.powers.extend(powers(BASE, int(lengths.max()) + 1)[lengths])
        self.symbol.extend(every & SYMBOL != 0)
        self.alpha.extend(some & ALPHA != 0)
        self.stop.extend(np.array([STOP_BITS.get(word, 0) for word in words], dtype=np.uint8))
        closes = np.array([word in CLOSING for word in words])
        self.sentence.extend(np.where(closes, CLOSES, np.where(every & PUNCT != 0, INSIDE, OPENS)))


@cache
def _cuts_chunks(tokenizer: WordTokenizer) -> SpaCyWords | None:
    """A tokenizer that cuts chunks; None for one that reads whole texts. Made once, as it takes tenths of a second."""
    return SpaCyWords(tokenizer) if isinstance(tokenizer, RememberingSpaCy) else None


@cache
def lexicon() -> Lexicon:
    """This process's: what a word is depends on no setting, and units of a worker share what they learned."""
    return Lexicon()


@compiled
def _words(rows: np.ndarray, starts: np.ndarray, counts: np.ndarray, flat: np.ndarray) -> np.ndarray:
    """The words of chunks, one after another."""
    total = 0
    for row in rows:
        total += counts[row]
    words = np.empty(total, np.int32)
    place = 0
    for row in rows:
        for at in range(starts[row], starts[row] + counts[row]):
            words[place] = flat[at]
            place += 1
    return words


@compiled
def _sentences(
    rows: np.ndarray,
    owner: np.ndarray,
    gap: np.ndarray,
    tail: np.ndarray,
    starts: np.ndarray,
    counts: np.ndarray,
    flat: np.ndarray,
    kinds: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """What `Lexicon._count` returns. tail: a row for each line."""
    sentences, words = np.ones(len(tail), np.int64), np.zeros(len(tail), np.int64)
    line, closed, gapped = -1, False, False
    for chunk in range(len(rows)):
        if owner[chunk] != line:
            if closed:
                sentences[line] += tail[line]
            line, closed, gapped = owner[chunk], False, False
        gapped |= gap[chunk]
        start, count = starts[rows[chunk]], counts[rows[chunk]]
        words[line] += count
        for at in range(start, start + count):
            kind = kinds[flat[at]]
            if kind != INSIDE:
                sentences[line] += closed and (kind == OPENS or gapped)
                closed, gapped = kind == CLOSES, False
    if closed:
        sentences[line] += tail[line]
    return sentences, words


def _groups(tokenizers: Sequence[WordTokenizer], owners: np.ndarray) -> dict[WordTokenizer, list[int]]:
    """Places in `owners` by the tokenizer of the owner."""
    found: dict[WordTokenizer, list[int]] = {}
    for place, owner in enumerate(owners.tolist()):
        found.setdefault(tokenizers[owner], []).append(place)
    return found
