"""The stages `tokenizer` and `pretrain` of a recipe with `base`: an imported model takes the place of one's own.

    tokenizer/tokenizer.json, tokenizer_config.json, …    the model's own files (tokenize/given.py)
    pretrain/checkpoints/step_000000/                     its checkpoint, as hard links where they can be made

Everything behind them finds a tokenizer and a trained model as in any run. Their identity is that of the files: the
folder may move.
"""

from __future__ import annotations

from typing import Any

from ..core.errors import InputError
from ..core.files import link_or_copy, sha256_file
from ..core.manifest import file_entry
from ..core.recipe import Recipe
from ..core.remote_path import path_of
from ..core.stage import Stage, StageContext, StageResult

CHECKPOINTS = "checkpoints"


def _marks(recipe: Recipe, *patterns: str) -> dict[str, str]:
    """SHA-256 of the files that say what the model is. A checkpoint's meta.json has the digests of all its files."""
    folder = path_of(recipe.base or "")
    found = {one.relative_to(folder).as_posix(): one for pattern in patterns for one in sorted(folder.glob(pattern))}
    if not found:
        raise InputError(f"base: {folder} holds no imported model", f"crawl2chat import MODEL --out {folder}")
    return {name: sha256_file(path) for name, path in found.items()}


def _check(ctx: StageContext) -> None:
    from .model_folder import ModelFolder

    folder = path_of(ctx.recipe.base or "")
    if ModelFolder.open(folder).checkpoint is None:
        raise InputError(f"base: {folder} is no imported model", f"crawl2chat import {folder} --out NEW_FOLDER")


def _take_tokenizer(ctx: StageContext) -> StageResult:
    from ..tokenize.bpe import Tokenizer
    from ..tokenize.given import FILES

    base = path_of(ctx.recipe.base or "")
    names = [name for name in FILES if (base / name).exists()]
    for name in names:
        link_or_copy(base / name, ctx.folder / name)
    tokenizer = Tokenizer.load(ctx.folder / "tokenizer.json")
    facts = {"vocab_size": tokenizer.vocab_size, "end_of_text": tokenizer.end_of_text, "digest": tokenizer.digest}
    files = [file_entry(ctx.folder, ctx.folder / name, 0) for name in names]
    return StageResult(files, {"vocab_size": tokenizer.vocab_size}, facts)


def _take_model(ctx: StageContext) -> StageResult:
    from ..model.config import ModelConfig
    from .checkpoints import read_meta
    from .model_folder import ModelFolder

    base = ModelFolder.open(path_of(ctx.recipe.base or ""))
    assert base.checkpoint is not None, "it has been checked"
    target = ctx.folder / CHECKPOINTS / base.checkpoint.name
    for path in sorted(base.checkpoint.iterdir()):
        link_or_copy(path, target / path.name)
    meta = read_meta(target)
    model = ModelConfig.from_dict(meta.model)
    facts = {
        "checkpoint": target.relative_to(ctx.folder).as_posix(),
        "model": model.to_dict(),
        "tokenizer_digest": meta.tokenizer_digest,
        "steps": meta.step,
        "shifts": [],
    }
    files = [file_entry(ctx.folder, path, 0) for path in sorted(target.iterdir())]
    return StageResult(files, {"parameters": model.parameters()}, facts, notes=dict(base.source))


def _precision(recipe: Recipe) -> dict[str, Any]:
    """What training on asks of the stage before it."""
    return {"train": {"precision": recipe.train.precision}}


BASE_TOKENIZER = Stage(
    "tokenizer", (), lambda recipe: {}, _take_tokenizer, needs_ray=False, check=_check,
    external=lambda recipe: _marks(recipe, "tokenizer*.json", "special_tokens_map.json", "chat_template.jinja"),
)  # fmt: skip
BASE_MODEL = Stage(
    "pretrain", ("tokenizer",), _precision, _take_model, needs_ray=False, check=_check,
    external=lambda recipe: _marks(recipe, "step_*/meta.json"),
)  # fmt: skip
