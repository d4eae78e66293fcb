"""Training the run's tokenizer: byte-level BPE (Sennrich et al. 2016; Radford et al. 2019) by the `tokenizers` library.

Text is split into pieces that no token crosses (a word with the space before it, up to three digits, a run of
punctuation, a run of white space), each piece is spelled in bytes, and the most frequent pairs are merged. All 256
bytes are in the vocabulary before the first merge: nothing is unknown. Ties are broken by the pairs' ids, so equal
texts in any order give the same file.
"""

from __future__ import annotations

from collections.abc import Iterable

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers, trainers

from .bpe import SPECIAL_TOKENS

# The alternatives, in order: an English contraction's ending; a word, with one character before it that is neither
# letter nor digit nor line end; at most three digits; punctuation with a space before and line ends after it; white
# space up to a line's end; white space except the last character, which belongs to the next word; white space.
PIECES = "|".join(
    [
        r"'(?i:[sdmt]|ll|re|ve)",
        r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)


def train_tokenizer(batches: Iterable[list[str]], vocab_size: int) -> bytes:
    """The tokenizer.json, trained on batches of texts.

    Its vocabulary is smaller than `vocab_size` when the texts have no more pairs to merge.
    """
    tokenizer = tokenizers.Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PIECES), "isolated")
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, spell])  # pyright: ignore[reportAttributeAccessIssue]
    tokenizer.decoder = decoders.ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL_TOKENS],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(batches, trainer)
    return tokenizer.to_str(pretty=True).encode()
