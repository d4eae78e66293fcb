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

from ..core.errors import InputError
from ..core.files import write_json
from ..core.log import log
from ..core.run import Run
from ..model.huggingface import write_model
from ..tokenize.bpe import END
from ..tokenize.given import FILES
from ..tokenize.hf_files import tokenizer_config
from ..train.lora import merge
from ..train.lora_file import read_lora
from .gguf_export import write_gguf_model
from .session import ChatSession


def run_export(
    run: Run | Path, stage: str, out: Path, form: str = "hf", encoding: str = "f32", lora: Path | None = None
) -> int:
    """Write the model of the stage `pretrain` or `finetune`, or of an imported model's folder, to `out`, which is new.

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
    chat = stage == "finetune"
    if form == "gguf":
        write_gguf_model(out, session, _name(run), chat, encoding)
    else:
        _write_folder(out, run, session, chat)
    log.info("%s: %d parameters", out, session.model.config.parameters())
    return 0


def _write_folder(out: Path, run: Run | Path, session: ChatSession, chat: bool) -> None:
    tokenizer = session.tokenizer
    with new_folder(out) as folder:
        if isinstance(run, Path):  # what came with the model goes with it
            for name in FILES:
                if (run / name).exists():
                    shutil.copyfile(run / name, folder / name)
            given = session.given.tokens if session.given else {}
            ids = {role: tokenizer.special(token) for role, token in given.items()}
            begin, pad = ids.get("bos_token", tokenizer.end_of_text), ids.get("pad_token", tokenizer.end_of_text)
            write_model(folder, session.model, begin, sorted(session.stop_ids), pad)
        else:
            stops = [tokenizer.end_of_text, *([tokenizer.special(END)] if chat else [])]
            write_model(folder, session.model, tokenizer.end_of_text, stops)
            shutil.copyfile(run.stage("tokenizer") / "tokenizer.json", folder / "tokenizer.json")
            write_json(folder / "tokenizer_config.json", tokenizer_config(session.context, chat))


def _name(run: Run | Path) -> str:
    return run.name if isinstance(run, Path) else run.recipe.name


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
