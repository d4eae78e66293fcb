"""`crawl2chat model`: what the model of a recipe costs, before anything is trained."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from rich import box
from rich.table import Table

from ..core.progress import console
from ..core.recipe import Recipe
from ..model.config import ModelConfig
from ..model.memory import Checkpointing, Strategy, memory

STRATEGIES: tuple[Strategy, ...] = ("single", "ddp", "fsdp")
PARTS = {  # short enough for 80 columns
    "weights": "weights", "gradients": "grads", "optimizer": "optim", "copies": "copies", "activations": "activs",
    "recomputed": "again", "total": "total",
}  # fmt: skip
CHECKPOINTING: tuple[Checkpointing, ...] = ("none", "selective", "full")


def run_model(recipe: Recipe, ranks: int | None, as_json: bool) -> int:
    """Print parameters, FLOPs, and the memory of a rank; the vocabulary has the size that the recipe asks for,
    or that of the files it names."""
    found = costs(recipe, ranks)
    if as_json:
        print(json.dumps(found))
        return 0
    line = "{parameters:,} parameters, {parameters_in_blocks:,} of them in blocks; {flops_per_token:,} FLOPs a token"
    console.print(line.format(**found), highlight=False)
    about = "{rows} rows of {context} tokens at a time, {precision}; ddp and fsdp on {ranks} ranks; MiB a rank"
    table = Table(
        box=box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False, title=about.format(**found), title_justify="left"
    )
    table.add_column("strategy")
    table.add_column("checkpoint")
    for header in PARTS.values():
        table.add_column(header, justify="right")
    for row in found["memory"]:
        table.add_row(row["strategy"], row["checkpointing"], *(f"{row[part] / (1 << 20):,.1f}" for part in PARTS))
    console.print(table)
    return 0


def vocab_size_of(recipe: Recipe) -> int:
    from ..tokenize.gpt2_files import load_gpt2_files

    settings = recipe.tokenizer
    if settings.files is None:
        return settings.vocab_size
    return load_gpt2_files(settings.files.vocab, settings.files.merges, settings.special_tokens).vocab_size


def costs(recipe: Recipe, ranks: int | None = None) -> dict[str, Any]:
    """What `run_model` prints, bytes as bytes. `ranks` of null: the recipe's workers."""
    from ..train.sharding import UNIT_PARAMETERS  # imports torch

    config = ModelConfig.from_settings(recipe.model, vocab_size_of(recipe))
    ranks = ranks or recipe.resources.train_workers
    shared = {
        "rows": recipe.train.micro_batch or max(1, recipe.train.batch // ranks),
        "precision": recipe.train.precision,
        "muon": recipe.train.optimizer.muon is not None,
        "z_loss": recipe.train.z_loss > 0,
    }
    rows = []
    for strategy in STRATEGIES:
        for checkpointing in CHECKPOINTING:
            part = memory(
                config, strategy=strategy, ranks=1 if strategy == "single" else ranks, checkpointing=checkpointing,
                unit_parameters=UNIT_PARAMETERS, **shared,
            )  # fmt: skip
            rows.append({"strategy": strategy, "checkpointing": checkpointing, **asdict(part), "total": part.total})
    return {
        "config": config.to_dict(),
        "parameters": config.parameters(),
        "parameters_in_blocks": config.parameters_in_blocks(),
        "flops_per_token": config.flops_per_token(),
        "context": config.context,
        "ranks": ranks,
        **shared,
        "memory": rows,
    }
