"""What a model has to beat on the validation text, in the same bits per byte."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from .loader import TokenStream

CHUNK = 1 << 20


def unigram_bits_per_byte(train: Sequence[Path], validation: Sequence[Path], token_bytes: np.ndarray) -> float:
    """Cost of the validation tokens under their frequencies in the training tokens, each count plus one (Laplace)."""
    counts = _counts(TokenStream(train), len(token_bytes)) + 1
    seen = _counts(TokenStream(validation), len(token_bytes))
    bits = -(seen * np.log2(counts / counts.sum())).sum()
    return float(bits / (seen * token_bytes).sum())


def gzip_bits_per_byte(validation: Sequence[Path], decode_bytes: Callable[[Sequence[int]], bytes]) -> float:
    """Size of the validation text, all documents one after the other, compressed by gzip -9 (header included)."""
    squeeze = zlib.compressobj(9, wbits=31)
    plain = packed = 0
    for tokens in _chunks(TokenStream(validation)):
        text = decode_bytes(tokens.tolist())
        plain += len(text)
        packed += len(squeeze.compress(text))
    return 8 * (packed + len(squeeze.flush())) / plain


def _counts(stream: TokenStream, vocabulary: int) -> np.ndarray:
    counts = np.zeros(vocabulary, dtype=np.int64)
    for tokens in _chunks(stream):
        counts += np.bincount(tokens, minlength=vocabulary)
    return counts


def _chunks(stream: TokenStream) -> Iterator[np.ndarray]:
    for start in range(0, len(stream), CHUNK):
        yield stream.tokens(start, min(start + CHUNK, len(stream)))
