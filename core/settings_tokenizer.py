"""The recipe's section for the tokenizer."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from .section import Section

PATTERNS = ("gpt2", "gpt4", "gpt4-marks")  # what they are: tokenize/patterns.py
OWN_SPECIAL = 4  # special tokens that every tokenizer has


class VocabularyFiles(Section):
    """A byte-level vocabulary in GPT-2's files, plain or gzipped."""

    vocab: str = Field(description="vocab.json or encoder.json: ids by token")
    merges: str = Field(description="merges.txt or vocab.bpe: a pair a line, by rank")


class Tokenizer(Section):
    """BPE, trained on the kept documents, or as files have it."""

    vocab_size: int = Field(default=2048, ge=260, le=1 << 20, description="special tokens and alphabet included")
    train_bytes: int = Field(default=1 << 30, ge=1, description="of text to train on, drawn evenly by document hash")
    balance: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="a source's part of train_bytes goes by its size to this power: 0 all alike",
    )
    pattern: str = Field(
        default="gpt4-marks", description="gpt2, gpt4, gpt4-marks, or a regular expression (Oniguruma)"
    )
    digits: Literal[1, 3] | None = Field(
        default=None, description="the most digits of a number in a piece; null: as the pattern has it"
    )
    alphabet: Literal["bytes", "characters"] = Field(
        default="bytes", description="what text is spelled in; characters that are no token are spelled in bytes"
    )
    character_coverage: float = Field(
        default=0.9995, gt=0, le=1, description="of the sample's characters, by the alphabet of characters"
    )
    special_tokens: list[str] = Field(default_factory=list, description="beside the four of the chat template")

    files: VocabularyFiles | None = Field(
        default=None, description="a vocabulary that is there already, with GPT-2's pattern; nothing is trained"
    )

    def rooted(self, absolute: Callable[[str], str]) -> Tokenizer:
        """The same with the files' paths made absolute."""
        if self.files is None:
            return self
        files = VocabularyFiles(vocab=absolute(self.files.vocab), merges=absolute(self.files.merges))
        return self.model_copy(update={"files": files})

    @model_validator(mode="after")
    def _makes_sense(self) -> Tokenizer:
        if self.files is not None:
            for key, field in type(self).model_fields.items():
                if key not in ("files", "special_tokens") and (value := getattr(self, key)) != field.default:
                    raise ValueError(
                        f"tokenizer.{key} is {value!r}, but a vocabulary that tokenizer.files names is taken as it is; "
                        f"leave {key} out, or files"
                    )
        if self.pattern not in PATTERNS:
            _check_regex(self.pattern)
            if self.digits is not None:
                raise ValueError(
                    f"tokenizer.digits is {self.digits}, but an own pattern says itself how numbers are cut; "
                    "write \\p{N} or \\p{N}{1,3} into it, and leave digits out"
                )
        twice = sorted({one for one in self.special_tokens if self.special_tokens.count(one) > 1 or not one.strip()})
        if twice:
            raise ValueError(f"tokenizer.special_tokens has {twice[0]!r} twice or empty; give each its own name")
        for taken in ("<|endoftext|>", "<|user|>", "<|assistant|>", "<|end|>"):
            if taken in self.special_tokens:
                raise ValueError(f"tokenizer.special_tokens has {taken}, which is there anyway; leave it out")
        smallest = OWN_SPECIAL + len(self.special_tokens) + 256
        if self.files is None and self.vocab_size < smallest:
            raise ValueError(
                f"tokenizer.vocab_size is {self.vocab_size}, less than the special tokens and 256 bytes; "
                f"give at least {smallest}"
            )
        return self


def _check_regex(pattern: str) -> None:
    """Raise ValueError for what no tokenizer could cut with."""
    if re.fullmatch(r"[\w .-]*", pattern):
        raise ValueError(
            f"tokenizer.pattern is {pattern!r}, neither a name nor a regular expression; "
            f"use one of {', '.join(PATTERNS)}, or an expression such as \\p{{L}}+|\\p{{N}}+|\\s+|\\S"
        )
    from tokenizers import Regex  # here: few recipes have an own pattern

    try:
        Regex(pattern)
    except Exception as error:  # the library raises plain Exception
        raise ValueError(
            f"tokenizer.pattern {pattern!r} is no regular expression that Oniguruma reads: {error}; correct it"
        ) from error
