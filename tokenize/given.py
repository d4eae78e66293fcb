"""The tokenizer of a model that was made elsewhere, by what the model's folder says of it.

    tokenizer.json             the vocabulary
    tokenizer_config.json      bos_token, eos_token, pad_token; add_bos_token; chat_template
    special_tokens_map.json    the same tokens, in older folders
    chat_template.jinja        in newer ones
    generation_config.json     eos_token_id: one or several

Such a tokenizer has not our special tokens: tokenize/roles.py says what a document begins with. Any id of `stop_ids`
ends what the model writes.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tokenizers

from ..core.errors import InputError
from .bpe import SPECIAL_TOKENS, Tokenizer
from .chat_template import ChatTemplate, OwnTemplate
from .chat_templates import describe
from .hf_files import CHAT_TEMPLATE
from .jinja_chat import JinjaTemplate
from .probes import SENTENCES
from .roles import CONFIG, MAP, read_object, read_roles
from .vocabulary import BYTE_TOKENS, byte_of_character

ENDS = ("<|end|>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end_of_text|>", "<|endoftext|>")  # of turns, of texts
FILES = ("tokenizer.json", CONFIG, MAP, "chat_template.jinja", "generation_config.json")


@dataclass(frozen=True)
class GivenTokenizer:
    """`template` is None where the folder has no chat template; `tokens` are those of bos_token, eos_token, pad_token
    that there are."""

    tokenizer: Tokenizer
    template: ChatTemplate | None
    chat_template: str | None  # its source
    tokens: Mapping[str, str]
    adds_bos: bool
    stop_ids: frozenset[int]


def read_given(folder: Path) -> GivenTokenizer:
    """The tokenizer of a folder in Hugging Face's form. Raises InputError naming file and fault."""
    path = folder / "tokenizer.json"
    if not path.is_file():
        raise InputError(f"no tokenizer at {path}", "convert it: AutoTokenizer.from_pretrained(…).save_pretrained(…)")
    try:
        tokenizers.Tokenizer.from_file(os.fspath(path))
    except Exception as error:  # the library raises plain Exception
        raise InputError(f"{path} is not a tokenizer: {error}", "fetch the file again") from error
    tokenizer = Tokenizer.load(path)
    special = tokenizer.special_tokens
    tokens = {name: one for name, one in read_roles(folder).items() if one in special}
    stops = {special[one] for one in (*ENDS, tokens.get("eos_token")) if one in special} | {tokenizer.end_of_text}
    found = read_object(folder / "generation_config.json").get("eos_token_id")
    stops |= {one for one in (found if isinstance(found, list) else [found]) if isinstance(one, int)}
    config = read_object(folder / CONFIG)
    template, source = _template(folder, config, tokenizer)
    adds_bos = bool(config.get("add_bos_token")) and "bos_token" in tokens
    return GivenTokenizer(tokenizer, template, source, tokens, adds_bos, frozenset(stops))


def given_beside(folder: Path, tokenizer: Tokenizer) -> GivenTokenizer | None:
    """What the folder of a run's tokenizer says of one that an imported model brought; None for a tokenizer of ours."""
    return None if all(one in tokenizer.special_tokens for one in SPECIAL_TOKENS) else read_given(folder)


def describe_spoken(
    folder: Path, tokenizer: Tokenizer, kind: str | None = None, elsewhere: str | None = None
) -> dict[str, Any] | None:
    """How conversations are written for the tokenizer in a folder, as a description (tokenize/chat_templates.py).

    `kind` and `elsewhere`, the folder of a Jinja template, are the recipe's choice; without one it is the template of
    the imported model that the tokenizer belongs to, else ours: None. Raises InputError when there is no such template.
    """
    if kind is not None:
        return describe(kind, tokenizer, Path(elsewhere) if elsewhere else None)
    template, _ = _template(folder, read_object(folder / CONFIG), tokenizer)
    if template is None and not all(one in tokenizer.special_tokens for one in SPECIAL_TOKENS):
        raise InputError(
            f"{folder} has no chat template",
            "take a base that was trained to chat, or put its chat_template.jinja into the base's folder",
        )
    return template.description if isinstance(template, JinjaTemplate) else None


def unspelled_bytes(data: bytes, tokenizer: Tokenizer, where: str) -> int:
    """How many of the 256 bytes no token spells: what holds them loses them. 0 for most tokenizers.

    Raises InputError when text does not come back otherwise: then it is not spelled in bytes, as by SentencePiece.
    """
    library = tokenizers.Tokenizer.from_buffer(data)
    vocab = library.get_vocab()
    fallback = json.loads(data)["model"].get("byte_fallback")
    names = enumerate(BYTE_TOKENS) if fallback else ((byte, one) for one, byte in byte_of_character().items())
    lost = {byte for byte, name in names if name not in vocab}
    normalizer: Any = library.normalizer
    for text in SENTENCES:
        same = normalizer.normalize_str(text) if normalizer is not None else text
        try:
            found = tokenizer.decode_bytes(tokenizer.encode(text))
        except KeyError:  # a token in characters that stand for no byte
            found = None
        if found != bytes(byte for byte in same.encode() if byte not in lost):
            raise InputError(
                f"{where} does not spell text in bytes: {text[:24]!r} comes back as "
                f"{(found or b'').decode(errors='replace')[:24]!r}",
                "models with byte-level BPE can be imported: those of GPT-2, Llama 3, Qwen, SmolLM and others",
            )
    return len(lost)


def _template(
    folder: Path, config: dict[str, Any], tokenizer: Tokenizer
) -> tuple[ChatTemplate, str] | tuple[None, None]:
    if not config.get("chat_template") and not (folder / "chat_template.jinja").exists():
        return None, None
    found = JinjaTemplate.load(folder, tokenizer)
    ours = found.source == CHAT_TEMPLATE and all(one in tokenizer.special_tokens for one in SPECIAL_TOKENS)
    return (OwnTemplate(tokenizer) if ours else found), found.source
