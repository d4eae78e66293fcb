"""`crawl2chat import`: a model that was made elsewhere as a folder of ours (train/model_folder.py).

From a folder in Hugging Face's form, or from a GGUF file (chat/gguf_import.py). Only safetensors and GGUF are read,
which are data; pickles (.bin, .pt) can run code, and are refused.

A checkpoint names its tokenizer by digest, so that no model is trained on with another.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from ..core.errors import ContractError, InputError
from ..core.files import write_json
from ..core.log import log
from ..core.progress import console
from ..model.config import ModelConfig
from ..model.huggingface import read_model
from ..model.transformer import Transformer
from ..tokenize.given import FILES, read_given, unspelled_bytes
from ..train.checkpoints import Meta
from ..train.model_folder import SOURCE
from ..train.saving import save
from ..train.world import World
from .exporting import new_folder
from .gguf_import import read_gguf_model, write_tokenizer


def run_import(source: Path, out: Path, context: int | None = None) -> int:
    """Write the new folder `out` from a folder with config.json, safetensors and tokenizer.json, or a GGUF file.

    `context`: a shorter one than the model's, for rows to train on that are as long.
    Raises InputError naming the field or tensor that our transformer does not compute, ContractError when tokenizer
    and embedding do not fit.
    """
    if out.exists():
        raise InputError(f"{out} exists already", "give a new folder")
    if source.is_file():
        found = read_gguf_model(source)
        model, card = found.model, found.source
    else:
        _one_gguf(source)
        found, model, card = None, read_model(source), {"name": source.absolute().name}
    if context is not None:
        model.config = _shortened(model.config, context)
    with new_folder(out) as folder:
        if found is not None:
            write_tokenizer(folder, found)
        else:
            for name in FILES:
                if (source / name).exists():
                    shutil.copyfile(source / name, folder / name)
        digest = _check_tokenizer(folder, source, model)
        write_json(folder / SOURCE, card | {"from": str(source.absolute())})
        meta = Meta(0, 0, model.config.to_dict(), digest, f"imported from {source.absolute()}", {}, {})
        stateless = torch.optim.SGD(model.parameters(), lr=0.0)  # an optimizer begins anew with other data
        save(folder, model, stateless, meta, World(), "import", keep=1)
    about = f"{model.config.parameters():,} parameters, context {model.config.context}"
    console.print(f"{out}: {about}", soft_wrap=True, highlight=False)
    return 0


def _shortened(config: ModelConfig, context: int) -> ModelConfig:
    if not 8 <= context <= config.context or config.positions != "rotary":
        raise InputError(
            f"--context {context}: the model has {config.context} {config.positions} positions",
            "give 8 or more, not more than it has; learned positions cannot be left out",
        )
    return replace(config, context=context)


def _check_tokenizer(folder: Path, source: Path, model: Transformer) -> str:
    """The digest of the tokenizer in the new folder, which is right for the model."""
    if not (folder / "tokenizer.json").exists():
        raise InputError(
            f"no tokenizer at {source / 'tokenizer.json'}",
            "convert it: AutoTokenizer.from_pretrained(…).save_pretrained(…)",
        )
    tokenizer = read_given(folder).tokenizer
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ContractError(
            f"{source}: the tokenizer has ids up to {tokenizer.vocab_size - 1}, config.json vocab_size "
            f"{model.config.vocab_size}",
            "take tokenizer and weights of one model",
        )
    if lost := unspelled_bytes(tokenizer.data, tokenizer, str(source)):
        log.warning("%s: %d of the 256 bytes have no token: text loses the characters that hold them", source, lost)
    return tokenizer.digest


def _one_gguf(source: Path) -> None:
    """Say what to do with a folder that holds GGUF files and no config.json."""
    files = sorted(source.glob("*.gguf"))
    if files and not (source / "config.json").exists():
        raise InputError(f"{source} is a folder of {len(files)} GGUF files", f"name one of them: {files[0]}")
