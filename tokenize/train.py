"""Training the run's tokenizer: BPE (Sennrich et al. 2016; Radford et al. 2019) by the `tokenizers` library.

Text is cut into pieces that no token crosses (tokenize/patterns.py), each piece is spelled in the alphabet, and the
most frequent pairs are merged. Ties are broken by the pairs' ids, so equal texts in any order give the same file.

The alphabet is all 256 bytes; or the characters that make up most of the sample, and for those that do not the 256
bytes as tokens of their own, which nothing is merged with (byte fallback: Kudo and Richardson 2018,
SentencePiece). Either way nothing is unknown.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers

from ..core.errors import InputError
from ..core.settings_tokenizer import Tokenizer as Settings
from .bpe import SPECIAL_TOKENS
from .patterns import regex_of
from .vocabulary import BYTE_TOKENS


def train_tokenizer(batches: Iterable[list[str]], vocab_size: int, settings: Settings | None = None) -> bytes:
    """The tokenizer.json, trained on batches of texts; for an alphabet of characters they are gone through twice.

    Its vocabulary is smaller than `vocab_size` when the texts have no more pairs to merge. Raises InputError when the
    characters alone are more than it.
    """
    settings = settings or Settings()
    special = [*SPECIAL_TOKENS, *settings.special_tokens]
    cut = pre_tokenizers.Split(Regex(regex_of(settings.pattern, settings.digits)), "isolated")
    if settings.alphabet == "characters":
        return _in_characters(batches, vocab_size, settings.character_coverage, cut, special)
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer: Any = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, spell])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=_special(special),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(batches, trainer)
    return tokenizer.to_str(pretty=True).encode()


def _in_characters(
    batches: Iterable[list[str]], vocab_size: int, coverage: float, cut: pre_tokenizers.PreTokenizer, special: list[str]
) -> bytes:
    alphabet = frequent_characters(batches, coverage)
    needed = len(special) + len(BYTE_TOKENS) + len(alphabet)
    if needed > vocab_size:
        raise InputError(
            f"tokenizer.vocab_size is {vocab_size}, but special tokens, 256 bytes and {len(alphabet)} characters are "
            f"{needed}",
            "raise tokenizer.vocab_size, lower tokenizer.character_coverage, or take tokenizer.alphabet: bytes",
        )
    tokenizer: Any = tokenizers.Tokenizer(models.BPE(byte_fallback=True))
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=_special([*special, *BYTE_TOKENS]),
        initial_alphabet=alphabet,
        limit_alphabet=len(alphabet),  # no character beside these
        show_progress=False,
    )
    tokenizer.train_from_iterator(batches, trainer)
    described = json.loads(tokenizer.to_str())
    # The trainer enters the byte tokens only as special tokens; as such they would be found where they are spelled.
    described["added_tokens"] = [one for one in described["added_tokens"] if one["content"] not in BYTE_TOKENS]
    if clash := [pair for pair in described["model"]["merges"] if "".join(pair) in BYTE_TOKENS]:
        raise InputError(
            f"the text spells {''.join(clash[0])} so often that it became a token, which is the name of a byte's",
            "let tokenizer.pattern cut between letters and punctuation, or take tokenizer.alphabet: bytes",
        )
    return json.dumps(described, ensure_ascii=False, indent=2).encode()


def frequent_characters(batches: Iterable[list[str]], coverage: float) -> list[str]:
    """The characters that together make up this share of all, the most frequent first, by code point within a tie."""
    counts: Counter[str] = Counter()
    for batch in batches:
        for text in batch:
            counts.update(text)
    ranked = sorted(counts, key=lambda one: (-counts[one], one))
    wanted, found = coverage * counts.total(), 0
    for place, one in enumerate(ranked):
        if found >= wanted:
            return ranked[:place]
        found += counts[one]
    return ranked


def _special(names: Iterable[str]) -> list[AddedToken]:
    return [AddedToken(name, special=True, normalized=False) for name in names]
