"""The models that are evaluated: stages of a run, and folders of models from elsewhere."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from ..core.errors import ContractError, InputError
from ..core.files import digest, sha256_file
from ..core.manifest import Manifest
from ..core.remote_path import path_of
from ..core.run import Run
from ..model.hf_config import read_config
from ..model.huggingface import read_model
from ..model.transformer import Transformer
from ..tokenize.bpe import Tokenizer
from ..tokenize.chat_templates import end_of_answer, make_template
from ..tokenize.given import FILES, describe_spoken
from ..tokenize.jinja_chat import read_template
from ..tokenize.roles import CONFIG, read_object
from ..train.checkpoints import META, load_for_inference, newest, read_meta
from .text_tokenizer import ModelTokenizer


class ModelFiles(BaseModel, frozen=True):
    """Where a model lies, and how it is asked. It travels to workers, which open it."""

    name: str  # names folders too
    weights: str  # a checkpoint of ours, or a folder in Hugging Face's form
    tokenizer: str
    digest: str  # of all that its answers depend on
    template: str | None = None  # its chat template as JSON (tokenize/chat_templates.py); None: it has none
    stop_ids: tuple[int, ...] = ()  # what ends its answers, beside what the tokenizer's files say


def trained_model(run: Run, stage: str, manifest: Manifest) -> ModelFiles:
    """The model of a finished stage, with the run's tokenizer. Raises InputError where that cannot be read."""
    path = run.stage("tokenizer") / "tokenizer.json"
    plain = ModelFiles(
        name=stage,
        weights=str(run.stage(stage) / manifest.facts["checkpoint"]),
        tokenizer=str(path),
        digest=manifest.digest,
    )
    if stage == "pretrain":
        return plain
    tokenizer, description = Tokenizer.load(path), manifest.facts.get("template")
    description = description or describe_spoken(path.parent, tokenizer)  # manifests say it where it is not our own
    stops = (end_of_answer(make_template(description, tokenizer)),)
    return plain.model_copy(update={"template": json.dumps(description or {"kind": "house"}), "stop_ids": stops})


def model_in(folder: Path) -> ModelFiles:
    """A folder that `crawl2chat import` wrote, or one in Hugging Face's form. Raises InputError for any other."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", folder.absolute().name).lstrip(".-_") or "model"
    if (folder / "config.json").is_file():
        weights, files = folder, [folder / "config.json", *sorted(folder.glob("*.safetensors"))]
    else:
        checkpoint = newest(folder) if folder.is_dir() else None
        if checkpoint is None:
            raise InputError(
                f"{folder} holds no model: no config.json, and no complete step_NNNNNN",
                "give a folder that `crawl2chat import` or `crawl2chat export` wrote",
            )
        weights, files = checkpoint, [checkpoint / META]  # which lists the digests of all others
    files += [path for one in FILES if (path := folder / one).is_file()]
    return ModelFiles(
        name=name,
        weights=str(weights.absolute()),
        tokenizer=str((folder / "tokenizer.json").absolute()),
        digest=digest({path.name: sha256_file(path) for path in files}),
        template=_template(folder),
    )


def _template(folder: Path) -> str | None:
    """That of a folder in Hugging Face's form, or imported, as JSON."""
    if not read_object(folder / CONFIG).get("chat_template") and not (folder / "chat_template.jinja").exists():
        return None
    source, variables, _ = read_template(folder)
    return json.dumps({"kind": "jinja", "source": source, "variables": variables})


def context_of(files: ModelFiles) -> int:
    """Tokens of the model's context, without a look at its weights. Raises InputError for files that are broken."""
    weights = path_of(files.weights)
    if (weights / META).is_file():
        return int(read_meta(weights).model["context"])
    path = weights / "config.json"
    raw: dict[str, Any] = read_object(path)
    return read_config(raw, str(path)).context


def tokenizer_of(files: ModelFiles) -> ModelTokenizer:
    """Raises InputError for files that are broken."""
    template = None if files.template is None else json.loads(files.template)
    return ModelTokenizer(path_of(files.tokenizer), template, files.stop_ids)


@lru_cache(maxsize=1)
def open_model(files: ModelFiles) -> tuple[Transformer, ModelTokenizer]:
    """The model in evaluation mode, on a GPU where there is one, and its tokenizer; the last one stays open.

    Raises InputError for files that are broken, ContractError when the model was trained with another tokenizer.
    """
    tokenizer, weights = tokenizer_of(files), path_of(files.weights)
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
