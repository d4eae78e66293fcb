"""The models that are evaluated: stages of a run, and folders of models from elsewhere."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import torch
from pydantic import BaseModel

from ..core.errors import ContractError, InputError
from ..core.files import digest, sha256_file
from ..core.manifest import Manifest
from ..core.run import Run
from ..model.huggingface import read_model
from ..model.transformer import Transformer
from ..train.checkpoints import META, load_for_inference, newest
from .text_tokenizer import TextTokenizer, open_tokenizer


class ModelFiles(BaseModel, frozen=True):
    """Where a model lies. It travels to workers, which open it."""

    name: str  # names folders too
    weights: str  # a checkpoint of ours, or a folder in Hugging Face's form
    tokenizer: str
    digest: str  # of what was trained


def trained_model(run: Run, stage: str, manifest: Manifest) -> ModelFiles:
    """The model of a finished stage, with the run's tokenizer."""
    return ModelFiles(
        name=stage,
        weights=str(run.stage(stage) / manifest.facts["checkpoint"]),
        tokenizer=str(run.stage("tokenizer") / "tokenizer.json"),
        digest=manifest.digest,
    )


def model_in(folder: Path) -> ModelFiles:
    """A folder that `crawl2chat import` wrote, or one in Hugging Face's form. Raises InputError for any other."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.absolute().name).lstrip(".-_") or "model"
    tokenizer = str(folder / "tokenizer.json")
    if (folder / "config.json").is_file():
        files = [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
        mark = digest({path.name: sha256_file(path) for path in files})
        return ModelFiles(name=name, weights=str(folder.absolute()), tokenizer=tokenizer, digest=mark)
    checkpoint = newest(folder) if folder.is_dir() else None
    if checkpoint is None:
        raise InputError(
            f"{folder} holds no model: no config.json, and no complete step_NNNNNN",
            "give a folder that `crawl2chat import` or `crawl2chat export` wrote",
        )
    return ModelFiles(
        name=name, weights=str(checkpoint.absolute()), tokenizer=tokenizer, digest=sha256_file(checkpoint / META)
    )


@lru_cache(maxsize=1)
def open_model(files: ModelFiles) -> tuple[Transformer, TextTokenizer]:
    """The model in evaluation mode, on a GPU where there is one, and its tokenizer; the last one stays open.

    Raises InputError for files that are broken, ContractError when the model was trained with another tokenizer.
    """
    tokenizer, weights = open_tokenizer(Path(files.tokenizer)), Path(files.weights)
    if (weights / META).is_file():
        model, meta = load_for_inference(weights)
        if meta["tokenizer_digest"] != tokenizer.digest:
            raise ContractError(
                f"{weights} was trained with the tokenizer {meta['tokenizer_digest'][:16]}, "
                f"{files.tokenizer} is {tokenizer.digest[:16]}",
                "give the tokenizer.json that the model was trained with",
            )
    else:
        model = read_model(weights)
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer
