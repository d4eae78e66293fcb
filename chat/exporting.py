"""`crawl2chat export`: a trained model as a Hugging Face folder, which transformers loads without code of ours.

config.json, generation_config.json, model.safetensors     model/huggingface.py; weights in float32
tokenizer.json                                              the run's own, byte by byte
tokenizer_config.json                                       special tokens; of a fine-tuned model the chat template
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
from ..tokenize.hf_files import tokenizer_config
from .session import ChatSession


def run_export(run: Run, stage: str | None, out: Path) -> int:
    """Write the model of the stage `pretrain`, `finetune` or `align` into the new folder `out`; None: that chats.

    Raises InputError when `out` exists already, when there is no checkpoint yet, and when Hugging Face has no
    architecture that computes this model.
    """
    session = ChatSession.open(run, stage)
    tokenizer, chat = session.tokenizer, stage != "pretrain"
    stops = [tokenizer.end_of_text, *([session.end] if chat else [])]
    with new_folder(out) as folder:
        write_model(folder, session.model, tokenizer.end_of_text, stops)
        shutil.copyfile(run.stage("tokenizer") / "tokenizer.json", folder / "tokenizer.json")
        config = tokenizer_config(session.context, chat)
        write_json(folder / "tokenizer_config.json", config | (session.exported_template if chat else {}))
    log.info("%s: %d parameters, loads with transformers' from_pretrained", out, session.model.config.parameters())
    return 0


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
