"""Opening a model that belongs to no run: a folder as `crawl2chat import` writes it, or in Hugging Face's form.

Its chat template is the folder's own (chat_template.jinja, or in tokenizer_config.json), else ours.
"""

from __future__ import annotations

from pathlib import Path

from ..core.errors import ContractError, InputError
from ..model.huggingface import read_model
from ..tokenize.bpe import Tokenizer
from ..tokenize.chat_template import ChatTemplate
from ..tokenize.jinja_chat import JinjaTemplate
from ..train.checkpoints import load_for_inference, newest
from .session import ChatSession


def open_folder(folder: Path) -> ChatSession:
    """Raises InputError when the folder holds no model, ContractError when model and tokenizer do not fit."""
    if not folder.is_dir():
        raise InputError(f"no folder at {folder}", "give one that `crawl2chat import` or `export` wrote")
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    checkpoint = newest(folder)
    if checkpoint is not None:
        model, meta = load_for_inference(checkpoint)
        if meta["tokenizer_digest"] != tokenizer.digest:
            raise ContractError(
                f"{checkpoint} was made with the tokenizer {meta['tokenizer_digest'][:16]}, "
                f"{folder / 'tokenizer.json'} is {tokenizer.digest[:16]}",
                "import the model again",
            )
    else:
        model = read_model(folder)
    if tokenizer.vocab_size > model.config.vocab_size:
        raise ContractError(
            f"{folder}: the tokenizer has {tokenizer.vocab_size} ids, the model {model.config.vocab_size}",
            "take tokenizer and weights of one model",
        )
    return ChatSession(model, tokenizer, _template(folder, tokenizer))


def _template(folder: Path, tokenizer: Tokenizer) -> ChatTemplate | None:
    config = folder / "tokenizer_config.json"
    named = config.is_file() and '"chat_template"' in config.read_text(encoding="utf-8", errors="replace")
    if named or (config.is_file() and (folder / "chat_template.jinja").is_file()):
        return JinjaTemplate.load(folder, tokenizer)
    return None
