"""A model with its tokenizer as one GGUF file, read back before it gets its name.

general.*            architecture, name, license where it is known, size, encoding
llama.*, qwen3.*, gpt2.*    the shape (model/gguf_config.py)
tokenizer.ggml.*     tokenizer (tokenize/gguf_tokens.py), the ids that begin and end texts and turns
tokenizer.chat_template         Jinja, of models that chat
tokenizer.huggingface.json      the tokenizer.json as it is, for programs that read it
tensors              model/gguf_weights.py
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gguf

from ..core.errors import InputError
from ..core.files import atomic_path
from ..core.log import log
from ..model.gguf_check import check_written
from ..model.gguf_config import write_metadata
from ..model.gguf_file import write_gguf
from ..model.gguf_weights import encode_weights
from ..model.hf_config import model_type
from ..model.hf_transfer import standard
from ..tokenize.bpe import END
from ..tokenize.gguf_tokens import to_gguf
from ..tokenize.hf_files import CHAT_TEMPLATE

if TYPE_CHECKING:
    from .session import ChatSession

FILE_TYPES = {  # of general.file_type
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}


def write_gguf_model(out: Path, session: ChatSession, name: str, chat: bool, encoding: str) -> None:
    """Write the file `out`, whole or not at all. `encoding` is a key of FILE_TYPES, `chat` says whether a run's model
    chats.

    Raises InputError naming the setting for which GGUF has no place, StageError when the file reads back otherwise.
    """
    config, state = standard(session.model)
    kind = model_type(config, "GGUF")
    metadata: dict[str, Any] = {
        "general.type": "model",
        "general.name": session.source.get("name", name),
        "general.license": session.source.get("license", ""),
        "general.size_label": gguf.size_label(config.parameters(), config.parameters(), 0, 0),
        "general.file_type": int(FILE_TYPES[encoding]),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
    }
    metadata |= {f"{kind}.{key}": value for key, value in write_metadata(config, kind).items()}
    metadata |= _tokenizer(session, config.vocab_size, chat)
    tensors = encode_weights(config, kind, state, encoding)
    with atomic_path(out) as partial:
        write_gguf(partial, kind, metadata, tensors)
        del tensors
        check_written(partial, config, kind, state, encoding)


def _tokenizer(session: ChatSession, size: int, chat: bool) -> dict[str, Any]:
    tokenizer = session.tokenizer
    parts = to_gguf(tokenizer.data, size, "the tokenizer")
    if not parts.exact:
        log.warning(
            "GGUF has no name for tokenizer.pattern gpt4-marks; %s is named, which gives the same tokens to every text "
            "without combining marks: text of Hindi, Thai or Tamil gets others in llama.cpp than in training",
            parts.pre,
        )
    found: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",  # GGUF's word for byte-level BPE
        "tokenizer.ggml.pre": parts.pre,
        "tokenizer.ggml.tokens": parts.tokens,
        "tokenizer.ggml.token_type": parts.types,
        "tokenizer.ggml.merges": parts.merges,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.huggingface.json": tokenizer.data.decode(),
    }
    if not parts.merges:  # GGUF has no empty lists, llama.cpp needs this one
        raise InputError("the tokenizer has no merges: GGUF cannot say so", "raise tokenizer.vocab_size, train again")
    given = session.given
    if given is None:
        end = tokenizer.special(END) if chat else tokenizer.end_of_text
        ids = {"bos": tokenizer.end_of_text, "eos": end, "eot": end, "padding": tokenizer.end_of_text}
        adds_bos, template = not chat, CHAT_TEMPLATE if chat else None
    else:
        special = tokenizer.special_tokens
        named = {"bos_token": "bos", "eos_token": "eos", "pad_token": "padding"}
        ids = {named[key]: special[token] for key, token in given.tokens.items()}
        adds_bos, template = given.adds_bos, given.chat_template
    found |= {f"tokenizer.ggml.{key}_token_id": index for key, index in ids.items()}
    found["tokenizer.ggml.add_bos_token"] = adds_bos  # `generate` begins a text so, too
    return found | ({"tokenizer.chat_template": template} if template else {})
