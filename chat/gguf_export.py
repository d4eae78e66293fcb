"""A model with its tokenizer as one GGUF file, read back before it gets its name.

general.*            architecture, name, license where it is known, size, encoding
llama.*, qwen3.*, gpt2.*    the shape (model/gguf_config.py)
tokenizer.ggml.*     tokenizer (tokenize/gguf_tokens.py), the ids that begin and end texts and turns
tokenizer.chat_template         Jinja, of models that chat
tokenizer.huggingface.json      the tokenizer.json as it is, for programs that read it
tensors              model/gguf_weights.py
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
from ..model.transformer import Transformer
from ..tokenize.bpe import Tokenizer
from ..tokenize.gguf_tokens import to_gguf

FILE_TYPES = {  # of general.file_type
    "f32": gguf.LlamaFileType.ALL_F32,
    "f16": gguf.LlamaFileType.MOSTLY_F16,
    "bf16": gguf.LlamaFileType.MOSTLY_BF16,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}


def write_gguf_model(
    out: Path,
    model: Transformer,
    tokenizer: Tokenizer,
    config: Mapping[str, Any],
    about: Mapping[str, str],
    encoding: str,
) -> None:
    """Write the file `out`, whole or not at all.

    `config` is Hugging Face's tokenizer_config.json, with bos_token, eos_token and pad_token, `about` has the name, and
    the license where it is known, `encoding` is a key of FILE_TYPES. Raises InputError naming the setting for which
    GGUF has no place, StageError when the file reads back otherwise.
    """
    shape, state = standard(model)
    kind = model_type(shape, "GGUF")
    metadata: dict[str, Any] = {
        "general.type": "model",
        "general.name": about["name"],
        "general.license": about.get("license", ""),
        "general.size_label": gguf.size_label(shape.parameters(), shape.parameters(), 0, 0),
        "general.file_type": int(FILE_TYPES[encoding]),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
    }
    metadata |= {f"{kind}.{key}": value for key, value in write_metadata(shape, kind).items()}
    metadata |= _tokenizer(tokenizer, config, shape.vocab_size)
    tensors = encode_weights(shape, kind, state, encoding)
    with atomic_path(out) as partial:
        write_gguf(partial, kind, metadata, tensors)
        del tensors
        check_written(partial, shape, kind, state, encoding, metadata)


def _tokenizer(tokenizer: Tokenizer, config: Mapping[str, Any], size: int) -> dict[str, Any]:
    parts = to_gguf(tokenizer.data, size, "the tokenizer")
    if not parts.exact:
        log.warning(
            "GGUF has no name for tokenizer.pattern gpt4-marks; %s is named, which gives the same tokens to every text "
            "without combining marks: text of Hindi, Thai or Tamil gets others in llama.cpp than in training",
            parts.pre,
        )
    if not parts.merges:  # GGUF has no empty lists, and llama.cpp needs this one
        raise InputError("the tokenizer has no merges: GGUF cannot say so", "raise tokenizer.vocab_size, train again")
    template = config.get("chat_template")
    end = tokenizer.special(config["eos_token"])
    found: dict[str, Any] = {
        "tokenizer.ggml.model": "gpt2",  # GGUF's word for byte-level BPE
        "tokenizer.ggml.pre": parts.pre,
        "tokenizer.ggml.tokens": parts.tokens,
        "tokenizer.ggml.token_type": parts.types,
        "tokenizer.ggml.merges": parts.merges,
        "tokenizer.ggml.bos_token_id": tokenizer.special(config["bos_token"]),
        "tokenizer.ggml.eos_token_id": end,
        "tokenizer.ggml.padding_token_id": tokenizer.special(config["pad_token"]),
        "tokenizer.ggml.add_bos_token": config.get("add_bos_token", not template),  # as `generate` begins a text
        "tokenizer.ggml.add_eos_token": False,
        "tokenizer.ggml.add_space_prefix": False,
        "tokenizer.huggingface.json": tokenizer.data.decode(),
    }
    return found | ({"tokenizer.chat_template": template, "tokenizer.ggml.eot_token_id": end} if template else {})
