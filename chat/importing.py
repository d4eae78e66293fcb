"""`crawl2chat import`: a model in Hugging Face's form as a checkpoint of ours.

    step_000000/      as train/checkpoints.py writes it; `train.checkpoints.load_for_inference` and the start of a
                      training job read it
    tokenizer.json    as it came

A checkpoint names its tokenizer by digest, so that no model is trained on with another.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from tokenizers import Tokenizer

from ..core.errors import ContractError, InputError
from ..core.files import sha256_file
from ..core.log import log
from ..model.huggingface import read_model
from ..train.checkpoints import Meta
from ..train.saving import save
from ..train.world import World
from .exporting import new_folder


def run_import(source: Path, out: Path) -> int:
    """Write the new folder `out` from a folder with config.json, safetensors and tokenizer.json.

    Raises InputError naming the field or tensor that our transformer does not compute, ContractError when tokenizer
    and embedding do not fit.
    """
    model = read_model(source)
    tokenizer = _tokenizer(source / "tokenizer.json")
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=0)
    if largest >= model.config.vocab_size:
        raise ContractError(
            f"{source}: tokenizer.json has ids up to {largest}, config.json vocab_size {model.config.vocab_size}",
            "take tokenizer and weights of one model",
        )
    with new_folder(out) as folder:
        shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
        digest = sha256_file(folder / "tokenizer.json")
        meta = Meta(0, 0, model.config.to_dict(), digest, f"imported from {source.absolute()}", {}, {})
        stateless = torch.optim.SGD(model.parameters(), lr=0.0)  # an optimizer begins anew with other data
        save(folder, model, stateless, meta, World(), "import", keep=1)
    log.info("%s: %d parameters, context %d", out, model.config.parameters(), model.config.context)
    return 0


def _tokenizer(path: Path) -> Tokenizer:
    if not path.is_file():
        raise InputError(f"no tokenizer at {path}", "convert it: AutoTokenizer.from_pretrained(…).save_pretrained(…)")
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises plain Exception
        raise InputError(f"{path} is not a tokenizer: {error}", "fetch the file again") from error
