"""The thorough check of a run's tokenizer: once, by the command itself; its verdict binds the workers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from ..core.documents import kept_batches, strings
from ..core.log import log
from ..core.remote_path import path_of
from ..core.units import Unit, source_of
from .bpe import Tokenizer
from .verdict import keep_verdict

SOME = 64
SOME_CHARACTERS = 1 << 20


def checked_tokenizer(path: Path, units: Sequence[Unit], config: dict[str, Any]) -> Tokenizer:
    """The tokenizer with its verdict: as kept beside it, else by a thorough check, on texts of the run too.

    config: extract, stages: folders.
    """
    tokenizer = Tokenizer.load(path)
    if tokenizer.verdict is None:
        encoder = tokenizer.check_encoder(some_texts([unit.name for unit in units], config))
        log.info("token ids by the %s encoder", encoder.name)
        keep_verdict(path, tokenizer.digest, encoder.name)
    return tokenizer


def some_texts(units: Iterable[str], config: dict[str, Any]) -> list[str]:
    """The first texts of each source, at most SOME of them or some SOME_CHARACTERS long. config: extract, stages."""
    stages, found = [path_of(one) for one in config["stages"]], {}
    for unit in units:
        if source_of(unit) in found:
            continue
        for batch in kept_batches(unit, path_of(config["extract"]), stages, ["text"]):
            texts = strings(batch["text"].slice(0, SOME))
            ends = accumulate(map(len, texts))
            found[source_of(unit)] = [text for text, end in zip(texts, ends, strict=True) if end <= SOME_CHARACTERS]
            break
    return [text for texts in found.values() for text in texts]
