"""A model that was imported: a folder with a checkpoint and with what is known of the tokenizer.

    step_000000/              the checkpoint (train/checkpoints.py)
    tokenizer.json, …         as tokenize/given.py reads them
    source.json               {name, license, from}

`crawl2chat import` writes it (chat/importing.py). Training can begin with `checkpoint`, as `Job.initial`. A folder in
Hugging Face's form is opened as well, but is no checkpoint to train from.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ..core.errors import ContractError, InputError
from ..model.huggingface import read_model
from ..model.transformer import Transformer
from ..tokenize.given import GivenTokenizer, read_given
from .checkpoints import load_for_inference, newest, read_meta

SOURCE = "source.json"


@dataclass(frozen=True)
class ModelFolder:
    """`checkpoint` is None in Hugging Face's form. `source` has the key name, of an imported model also from, and
    license where it is known."""

    folder: Path
    checkpoint: Path | None
    source: Mapping[str, str]

    @classmethod
    def open(cls, folder: Path) -> ModelFolder:
        """Raises InputError when it holds no complete checkpoint, ContractError when the tokenizer is another one."""
        folder = folder.absolute()
        if not folder.is_dir():
            raise InputError(f"no folder at {folder}", "give one that `crawl2chat import` or `export` wrote")
        checkpoint = newest(folder)
        found = cls(folder, checkpoint, _source(folder))
        if checkpoint is None:
            if not (folder / "config.json").is_file():
                raise InputError(
                    f"{folder} holds no model", f"import it first: crawl2chat import {folder} --out NEW_FOLDER"
                )
            return found
        digest, wanted = found.given.tokenizer.digest, read_meta(checkpoint).tokenizer_digest
        if digest != wanted:
            raise ContractError(
                f"{checkpoint} belongs to the tokenizer {wanted[:16]}, {folder / 'tokenizer.json'} is {digest[:16]}",
                "import the model again",
            )
        return found

    @cached_property
    def given(self) -> GivenTokenizer:
        return read_given(self.folder)

    def load(self) -> Transformer:
        """The model, in float32 and evaluation mode."""
        return read_model(self.folder) if self.checkpoint is None else load_for_inference(self.checkpoint)[0]


def _source(folder: Path) -> dict[str, str]:
    path = folder / SOURCE
    if not path.exists():
        return {"name": folder.name}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {"name": folder.name} | {key: str(value) for key, value in found.items() if value}
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{path} is not readable: {error}", "remove it, or import the model again") from error
