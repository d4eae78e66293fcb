"""Byte pair encoding from scratch, to read and to check by: no library but one for regular expressions.

Training (Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", algorithm 1):

    1. Cut the text into pieces and count the distinct ones.
    2. Spell each piece in bytes: these are the first tokens.
    3. Count all pairs of neighbours. Make the most frequent pair one new token, everywhere. Again, until there are
       enough tokens. Of pairs that are equally frequent take the one with the smaller ids, so that the result does
       not depend on the order of the texts.

Encoding does the same merges again: of a piece's neighbours always the pair that was merged first in training.

The `tokenizers` library gives the same merges and the same ids, ties included (the tests compare them). It is faster,
as it keeps pairs in a heap; the code that encodes a run (compiled_encoder.py) is faster still. This one is to be read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import regex

from .patterns import regex_of

Pair = tuple[int, int]


@dataclass
class ReferenceBPE:
    """Tokens by id, and the merges in the order in which they were found."""

    pattern: str = "gpt4-marks"
    special_tokens: tuple[str, ...] = ()
    tokens: list[bytes] = field(default_factory=list)  # b"" for special tokens
    merges: dict[Pair, int] = field(default_factory=dict)  # what two ids become; its order is the rank

    def pieces(self, text: str) -> Iterator[bytes]:
        """A text cut by the pattern. What no match covers is a piece, too."""
        place = 0
        for match in regex.finditer(regex_of(self.pattern), text):
            for piece in (text[place : match.start()], match[0]):
                if piece:
                    yield piece.encode()
            place = match.end()
        if place < len(text):
            yield text[place:].encode()

    def encode(self, text: str) -> list[int]:
        """Ids of a text; special tokens are never among them."""
        byte_ids = {token: index for index, token in enumerate(self.tokens) if len(token) == 1}
        ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        found: list[int] = []
        for piece in self.pieces(text):
            ids = [byte_ids[piece[place : place + 1]] for place in range(len(piece))]
            while known := [pair for pair in pairwise(ids) if pair in ranks]:
                first = min(known, key=ranks.__getitem__)
                ids = _merged(ids, first, self.merges[first])
            found += ids
        return found

    def decode(self, ids: Iterable[int]) -> str:
        """The text again."""
        return b"".join(self.tokens[index] for index in ids).decode("utf-8", "replace")


def train(
    texts: Iterable[str], vocab_size: int, pattern: str = "gpt4-marks", special_tokens: Iterable[str] = ()
) -> ReferenceBPE:
    """Learn at most `vocab_size` tokens: special ones, 256 bytes, and merges of them; fewer if no pairs are left."""
    bpe = ReferenceBPE(pattern, tuple(special_tokens))
    bpe.tokens = [b"" for _ in bpe.special_tokens] + [bytes([byte]) for byte in bytes_in_order()]
    id_of = {token: index for index, token in enumerate(bpe.tokens) if token}

    counts = Counter(piece for text in texts for piece in bpe.pieces(text))
    words = [[id_of[piece[at : at + 1]] for at in range(len(piece))] for piece in counts]
    times = list(counts.values())

    pairs: Counter[Pair] = Counter()  # how often each pair of neighbours occurs
    where: defaultdict[Pair, set[int]] = defaultdict(set)  # in which words
    for place, word in enumerate(words):
        for pair in pairwise(word):
            pairs[pair] += times[place]
            where[pair].add(place)

    while len(bpe.tokens) < vocab_size and pairs:
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        if pairs[best] < 1:
            break
        both = bpe.tokens[best[0]] + bpe.tokens[best[1]]
        if both not in id_of:  # else two ways lead to one token: "a" + "bc" and "ab" + "c"
            id_of[both] = len(bpe.tokens)
            bpe.tokens.append(both)
        bpe.merges[best] = id_of[both]
        for place in where.pop(best):
            old = words[place]
            new = words[place] = _merged(old, best, id_of[both])
            for pair in pairwise(old):
                pairs[pair] -= times[place]
            for pair in pairwise(new):
                pairs[pair] += times[place]
                where[pair].add(place)
        pairs = +pairs  # without those that are gone
    return bpe


def bytes_in_order() -> list[int]:
    """The bytes as their characters sort in GPT-2's spelling, where printable ones stand for themselves and the others
    come behind all of these. It decides nothing but the first ids, and so the ties."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return [*printable, *(byte for byte in range(256) if byte not in printable)]


def _merged(ids: list[int], pair: Pair, both: int) -> list[int]:
    """Each occurrence of the pair, from the left, as one id."""
    found, place = [], 0
    while place < len(ids):
        if (*ids[place : place + 2],) == pair:
            found.append(both)
            place += 2
        else:
            found.append(ids[place])
            place += 1
    return found
