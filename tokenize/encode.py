"""Texts to one stream of tokens with the borders of its documents."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .bpe import Tokenizer


def token_type(vocab_size: int) -> np.dtype:
    """The smallest type that holds every id: uint16 up to 65,536 tokens, else uint32."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of all texts, each text's end with the end-of-text token, and their number per text: int64 [texts]."""
    dtype = token_type(tokenizer.vocab_size)
    end = np.array([tokenizer.end_of_text], dtype=dtype)
    encoded = tokenizer.encode_batch(texts)
    parts = [part for ids in encoded for part in (np.array(ids, dtype=dtype), end)]
    flat = np.concatenate(parts) if parts else np.zeros(0, dtype=dtype)
    return flat, np.array([len(ids) + 1 for ids in encoded], dtype=np.int64)
