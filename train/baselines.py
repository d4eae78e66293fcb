"""What a model has to beat on the validation text, in the same bits per byte."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .loader import TokenStream

CHUNK = 1 << 20


def token_counts(paths: Sequence[Path], vocabulary: int) -> np.ndarray:
    """How often each token stands in these shards, int64 [vocabulary]."""
    counts = np.zeros(vocabulary, dtype=np.int64)
    for tokens in _chunks(TokenStream(paths)):
        counts += np.bincount(tokens, minlength=vocabulary)
    return counts


def unigram_bits_per_byte(train: np.ndarray, validation: np.ndarray, token_bytes: np.ndarray) -> float:
    """Cost of the validation tokens under their frequencies in the training tokens, each count plus one (Laplace).

    Both as `token_counts` gives them.
    """
    counts = train + 1
    bits = -(validation * np.log2(counts / counts.sum())).sum()
    return float(bits / (validation * token_bytes).sum())


def gzip_bits_per_byte(validation: Sequence[Path], decode_bytes: Callable[[Sequence[int]], bytes]) -> float:
    """Size of the validation text, all documents one after the other, compressed by gzip -9 (header included)."""
    squeeze = zlib.compressobj(9, wbits=31)
    plain = packed = 0
    for tokens in _chunks(TokenStream(validation)):
        text = decode_bytes(tokens.tolist())
        plain += len(text)
        packed += len(squeeze.compress(text))
    return 8 * (packed + len(squeeze.flush())) / plain


def _chunks(stream: TokenStream) -> Iterator[np.ndarray]:
    for start in range(0, len(stream), CHUNK):
        yield stream.tokens(start, min(start + CHUNK, len(stream)))
