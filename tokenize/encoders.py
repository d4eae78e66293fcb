"""Which code encodes: the fastest that gives the ids of the `tokenizers` library on every text that it is asked about.

    compiled    tokenize/compiled_encoder.py, for the patterns gpt2, gpt4 and gpt4-marks
    tiktoken    built from the same merges; for own patterns too, and byte-level vocabularies only
    library     `tokenizers` itself: what the others are measured by

An encoder has a name and encode(data, offsets): texts as UTF-8 bytes, uint8, with int64 [texts + 1] offsets; it returns
the tokens of all texts, uint16|uint32, each text's end with the end-of-text token, and their number per text, int64.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np
import regex as regex_engine
import tokenizers
from tokenizers import pre_tokenizers

from ..core.log import log
from .patterns import cutting_of
from .probes import probes
from .vocabulary import Unknown, Vocabulary


class Encoder(Protocol):
    name: str

    def encode(self, data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]: ...


def token_type(vocab_size: int) -> np.dtype:
    """The smallest type that holds every id: uint16 up to 65,536 tokens, else uint32."""
    return np.dtype(np.uint16 if vocab_size <= 1 << 16 else np.uint32)


class LibraryEncoder:
    """`tokenizers`, on as many threads as it takes (RAYON_NUM_THREADS, TOKENIZERS_PARALLELISM)."""

    name = "library"

    def __init__(self, tokenizer: tokenizers.Tokenizer, end_of_text: int) -> None:
        self._tokenizer, self._end = tokenizer, end_of_text
        self._type = token_type(tokenizer.get_vocab_size())

    def encode(self, data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        texts = texts_of(data, offsets)
        found = [one.ids for one in self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
        return _joined(found, self._end, self._type)


class TiktokenEncoder:
    """tiktoken merges the pair whose bytes have the smallest id: the same, where ids follow the merges' order."""

    name = "tiktoken"

    def __init__(self, vocabulary: Vocabulary, end_of_text: int) -> None:
        import tiktoken

        if vocabulary.spelled_in_characters:
            raise Unknown("tiktoken knows no alphabet but bytes")
        ranks = {token: index for index, token in enumerate(vocabulary.tokens) if token}
        try:
            self._encoding = tiktoken.Encoding(
                "ours", pat_str=_covering(vocabulary.regex), mergeable_ranks=ranks, special_tokens={}
            )
        except ValueError as error:
            raise Unknown(f"tiktoken does not take the pattern: {error}") from error
        self._end = end_of_text
        self._type = token_type(len(vocabulary.tokens))

    def encode(self, data: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = [self._encoding.encode_ordinary(text) for text in texts_of(data, offsets)]
        return _joined(found, self._end, self._type)


def _covering(regex: str) -> str:
    """tiktoken forgets what lies between two matches, for the library it is a piece: a run of places at which nothing
    matches. Most patterns leave none, and are the faster without this alternative."""
    if _matches_nothing(regex):
        raise Unknown("tiktoken breaks on a pattern that matches where nothing is")
    cut = pre_tokenizers.Split(tokenizers.Regex(regex), "removed")
    between = any(cut.pre_tokenize_str(text) for text in probes())
    return rf"{regex}|(?:(?!{regex})[\s\S])+" if between else regex


def _matches_nothing(pattern: str) -> bool:
    """Whether it has empty matches; False where Python's engine does not read it."""
    try:
        return any(match[0] == "" for text in probes() for match in regex_engine.finditer(pattern, text))
    except regex_engine.error:
        return False


def candidates(vocabulary: Vocabulary, end_of_text: int) -> dict[str, Callable[[], Encoder]]:
    """What makes the encoders other than the library, by name, the fastest first. Each may raise Unknown."""

    def compiled() -> Encoder:
        from .compiled_encoder import CompiledEncoder

        cutting = cutting_of(vocabulary.regex)
        if cutting is None:
            raise Unknown("the compiled splitter does not know the pattern")
        return CompiledEncoder(vocabulary, cutting, end_of_text)

    return {"compiled": compiled, "tiktoken": lambda: TiktokenEncoder(vocabulary, end_of_text)}


def choose(made: Mapping[str, Callable[[], Encoder]], library: Encoder, texts: Sequence[str]) -> Encoder:
    """The first of the encoders that gives the library's ids on all texts; the library, if none does.

    One that gives another id, or breaks, is named in a warning, with the text or the error: that is a bug of it, of the
    vocabulary or of the environment, and costs time, not the run.
    """
    if not made:
        return library
    data, offsets = as_bytes(texts)
    tokens, counts = library.encode(data, offsets)
    for name, make in made.items():
        try:
            encoder = make()
            found = encoder.encode(data, offsets)
        except Unknown as error:
            log.debug("the %s encoder is out: %s", name, error)
            continue
        except BaseException as error:
            # PanicException is that of libraries in Rust, and no Exception to Python
            if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
                raise
            log.warning("the %s encoder broke, and is not used: %s: %s", name, type(error).__name__, error)
            continue
        if np.array_equal(found[0], tokens) and np.array_equal(found[1], counts):
            return encoder
        log.warning(
            "the %s encoder gives other ids than the tokenizers library, and is not used; the first text: %.200r",
            *(name, _first_difference(texts, found, (tokens, counts))),
        )
    return library


def as_bytes(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Texts as UTF-8 bytes and offsets. A lone surrogate, which no text in UTF-8 can have, becomes U+FFFD."""
    encoded = [_utf8(text) for text in texts]
    offsets = np.concatenate([[0], np.cumsum([len(one) for one in encoded])]).astype(np.int64)
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def texts_of(data: np.ndarray, offsets: np.ndarray) -> list[str]:
    """The reverse."""
    whole = np.ascontiguousarray(data).data
    return [str(whole[begin:end], "utf-8") for begin, end in pairwise(offsets.tolist())]


def valid(text: str) -> str:
    """The text, its lone surrogates as U+FFFD."""
    return _utf8(text).decode()


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return "".join("\ufffd" if 0xD800 <= ord(one) < 0xE000 else one for one in text).encode()


def _joined(found: list[list[int]], end: int, kind: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    last = np.array([end], kind)
    parts = [part for ids in found for part in (np.array(ids, kind), last)]
    flat = np.concatenate(parts) if parts else np.zeros(0, kind)
    return flat, np.array([len(ids) + 1 for ids in found], np.int64)


def _first_difference(
    texts: Sequence[str], found: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]
) -> str:
    """Of two encodings that are not the same, the first text that has other ids."""
    cuts = [np.split(tokens, np.cumsum(counts)[:-1]) for tokens, counts in (found, right)]
    return next(text for text, one, other in zip(texts, *cuts, strict=True) if not np.array_equal(one, other))
