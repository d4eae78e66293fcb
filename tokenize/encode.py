"""Texts to one stream of tokens with the borders of its documents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pyarrow as pa

from ..core.documents import strings
from .bpe import Tokenizer
from .encoders import as_bytes
from .encoders import token_type as token_type


def encode_documents(tokenizer: Tokenizer, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of all texts, each text's end with the end-of-text token, and their number per text: int64 [texts].

    A lone surrogate counts as U+FFFD.
    """
    return tokenizer.encoder.encode(*as_bytes(texts))


def encode_column(tokenizer: Tokenizer, column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The same of a string column without nulls, whose bytes are read where they lie. What is not UTF-8 is U+FFFD."""
    return tokenizer.encoder.encode(*column_bytes(column))


def column_bytes(column: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """The bytes of a string column, uint8, and the offsets of its texts in them, int64 [texts + 1]."""
    try:
        column.validate(full=True)
    except pa.ArrowInvalid:
        return as_bytes(strings(column))
    large = column.cast(pa.large_binary())
    borders, data = cast(Any, large.buffers()[1:])
    offsets = np.frombuffer(borders, np.int64)[large.offset : large.offset + len(large) + 1].copy()
    return np.frombuffer(data or b"", np.uint8), offsets


def byte_lengths(column: pa.Array) -> np.ndarray:
    """Bytes of UTF-8 of each text of a string column, int64 [texts], as encoded."""
    return np.diff(column_bytes(column)[1])
