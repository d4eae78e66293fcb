"""`crawl2chat export`: a trained or imported model for other programs.

hf: a folder that transformers loads without code of ours

    config.json, generation_config.json, model.safetensors     model/huggingface.py; weights in float32
    tokenizer.json                                              the run's own, byte by byte
    tokenizer_config.json                                       special tokens; of a fine-tuned model the chat template

gguf: one file for llama.cpp and what is built on it: chat/gguf_export.py

Differences that LoRA has learned are put into the weights first.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import write_json
from ..core.progress import console
from ..core.run import Run
from ..model.huggingface import write_model
from ..tokenize.given import FILES
from ..tokenize.hf_files import tokenizer_config
from ..tokenize.roles import ROLES
from ..train.lora import merge
from ..train.lora_file import read_lora
from .gguf_export import write_gguf_model
from .session import ChatSession


def run_export(
    run: Run | Path, stage: str | None, out: Path, form: str = "hf", encoding: str = "f32", lora: Path | None = None
) -> int:
    """Write the model of the stage `pretrain`, `finetune` or `align` (None: that which answers), or of an imported
    model's folder, to `out`, which is new.

    `form` is hf or gguf, `encoding` that of a GGUF's matrices, `lora` a file of LoRA's parameters for this model.
    Raises InputError when `out` exists already, when there is no checkpoint yet, and when `form` has no architecture
    that computes this model.
    """
    if out.exists():
        raise InputError(f"{out} exists already", "give a new name")
    session = ChatSession.open(run, stage)
    if lora is not None:
        read_lora(lora, session.model)
    merge(session.model)
    config = _tokenizer_config(session, stage)
    if form == "gguf":
        about = {"name": run.name if isinstance(run, Path) else run.recipe.name} | dict(session.source)
        write_gguf_model(out, session.model, session.tokenizer, config, about, encoding)
    else:
        _write_folder(out, run, session, config)
    console.print(f"{out}: {session.model.config.parameters():,} parameters", soft_wrap=True, highlight=False)
    return 0


def _write_folder(out: Path, run: Run | Path, session: ChatSession, config: dict[str, Any]) -> None:
    ids = session.tokenizer.special_tokens
    begin, end = (ids[config[name]] for name in ("bos_token", "eos_token"))
    stops = sorted(session.stop_ids) if session.given else [session.tokenizer.end_of_text, end]
    with new_folder(out) as folder:
        write_model(folder, session.model, begin, list(dict.fromkeys(stops)), ids[config["pad_token"]])
        if isinstance(run, Path):  # what came with the model goes with it
            for name in FILES:
                if (run / name).exists() and not (folder / name).exists():
                    shutil.copyfile(run / name, folder / name)
        else:
            shutil.copyfile(run.stage("tokenizer") / "tokenizer.json", folder / "tokenizer.json")
            write_json(folder / "tokenizer_config.json", config)


def _tokenizer_config(session: ChatSession, stage: str | None) -> dict[str, Any]:
    """tokenizer_config.json of a run's model; of an imported one what is known, and in any case the three ROLES."""
    given = session.given
    if given is None:
        chat = stage != "pretrain"
        return tokenizer_config(session.context, chat) | (session.exported_template if chat else {})
    names = {index: name for name, index in session.tokenizer.special_tokens.items()}
    usual: dict[str, Any] = dict.fromkeys(ROLES, names[session.tokenizer.end_of_text])
    template = {"chat_template": given.chat_template} if given.chat_template else {}
    known = {**usual, **given.tokens, **template, "add_bos_token": given.adds_bos}
    return known | session.exported_template


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A folder to write to, which becomes `target` when the block ends well, and is removed when it does not."""
    if target.exists():
        raise InputError(f"{target} exists already", "give a new folder")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
