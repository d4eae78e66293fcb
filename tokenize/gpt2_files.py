"""GPT-2's vocabulary files as a tokenizer of ours: text gets the ids that GPT-2 was trained on.

    vocab.json (encoder.json)   {token: id}, tokens spelled in printable characters; 50,257 of them for GPT-2
    merges.txt (vocab.bpe)      a line of comment, then a pair a line, by rank

Both may be gzipped. Special tokens that the vocabulary has, as GPT-2's has `<|endoftext|>`, keep their ids; the others
of the chat template, and those of the recipe behind them, get the ids behind the vocabulary's.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from ..core.errors import InputError
from ..core.files import sha256_file
from ..core.settings_tokenizer import Tokenizer as Settings
from ..core.settings_tokenizer import VocabularyFiles
from .bpe import SPECIAL_TOKENS, Tokenizer
from .patterns import regex_of


def load_gpt2_files(vocab: str | Path, merges: str | Path, special_tokens: Sequence[str] = ()) -> Tokenizer:
    """The tokenizer of a vocab.json and a merges.txt, with GPT-2's pattern. Raises InputError naming the file."""
    return Tokenizer(read_gpt2_files(vocab, merges, special_tokens), str(vocab))


def read_gpt2_files(vocab: str | Path, merges: str | Path, special_tokens: Sequence[str] = ()) -> bytes:
    """The same as a tokenizer.json. special_tokens: beside the four that every tokenizer has."""
    ids = _vocabulary(Path(vocab))
    pairs = _merges(Path(merges))
    for left, right in pairs:
        if missing := [token for token in (left, right, left + right) if token not in ids]:
            raise InputError(
                f"{merges} merges {left!r} and {right!r}, but {vocab} has no token {missing[0]!r}",
                "give two files that belong together",
            )
    if sorted(ids.values()) != list(range(len(ids))):
        raise InputError(
            f"{vocab} does not give its {len(ids)} tokens the ids 0 to {len(ids) - 1}, each once",
            "give the vocabulary's file as it was published",
        )
    special = [*SPECIAL_TOKENS, *special_tokens]
    made_of_text = {*pre_tokenizers.ByteLevel.alphabet(), *(left + right for left, right in pairs)}
    if clash := [name for name in special if name in made_of_text]:
        raise InputError(
            f"the special token {clash[0]!r} is what {merges} makes of ordinary text",
            "give it a name in tokenizer.special_tokens that is no token of the vocabulary's",
        )
    made: Any = tokenizers.Tokenizer(models.BPE(vocab=ids, merges=pairs))
    cut = pre_tokenizers.Split(Regex(regex_of("gpt2")), "isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [cut, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    return made.to_str().encode()


def given(settings: Settings) -> tuple[bytes, dict[str, int]]:
    """The tokenizer.json of the files that the recipe names, and how much text was read for it: none."""
    assert settings.files is not None
    data = read_gpt2_files(settings.files.vocab, settings.files.merges, settings.special_tokens)
    return data, {"documents": 0, "bytes": 0}


def check_files(files: VocabularyFiles) -> None:
    """Raise InputError when the files that a recipe names are absent, broken, or do not belong together."""
    digests(files)
    read_gpt2_files(files.vocab, files.merges)


def digests(files: VocabularyFiles) -> dict[str, str]:
    """SHA-256 of each file, by path. Raises InputError naming the key and the file."""
    found = {}
    for key, path in (("vocab", files.vocab), ("merges", files.merges)):
        try:
            found[path] = sha256_file(Path(path))
        except OSError as error:
            raise InputError(f"tokenizer.files.{key}: {path}: {error.strerror}", "correct the path") from error
    return found


def _vocabulary(path: Path) -> dict[str, int]:
    try:
        found = json.loads(_read(path))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: {error}", "give GPT-2's vocab.json or encoder.json") from error
    if not isinstance(found, dict) or not all(isinstance(one, int) for one in found.values()):
        raise InputError(f"{path} does not map tokens to ids", "give GPT-2's vocab.json or encoder.json")
    absent = [one for one in pre_tokenizers.ByteLevel.alphabet() if one not in found]
    if absent:
        raise InputError(
            f"{path} has no token for {len(absent)} of the 256 bytes, such as {min(absent)!r}",
            "give a byte-level vocabulary, as GPT-2's",
        )
    return found


def _merges(path: Path) -> list[tuple[str, str]]:
    lines = _read(path).split("\n")
    if lines[0].startswith("#version"):
        del lines[0]
    found = [tuple(line.removesuffix("\r").split(" ")) for line in lines if line.strip()]
    for number, pair in enumerate(found, 1):
        if len(pair) != 2:
            raise InputError(f"{path}: merge {number} is {' '.join(pair)!r}, not a pair", "give GPT-2's merges.txt")
    return found  # pyright: ignore[reportReturnType]


def _read(path: Path) -> str:
    try:
        data = path.read_bytes()
        return (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "give GPT-2's vocab.json and merges.txt") from error
