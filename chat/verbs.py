"""The verbs around a model: `crawl2chat model`, `export`, `import`."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

EXAMPLES = """\
  crawl2chat model recipes/tiny.yaml                       parameters, FLOPs a token, memory of a rank
  crawl2chat model recipes/tiny.yaml --ranks 4 --set model.family=llama --set train.precision=bf16
  crawl2chat export --run runs/tiny --out tiny-hf          the model that chats, for transformers
  crawl2chat export --run runs/tiny --stage pretrain --out base-hf
  crawl2chat import tiny-hf --out models/tiny              a model of Hugging Face's form as a checkpoint of ours
"""

Verb = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]


def add_model_verbs(verb: Verb) -> None:
    """Add the verbs; `verb(name, about, function)` makes a parser."""
    model = verb("model", "what the model of a recipe costs", _model)
    model.add_argument("recipe", help="a YAML file, or the name of a shipped recipe")
    model.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a value; repeatable")
    model.add_argument("--ranks", type=int, metavar="N", help="instead of resources.train_workers")
    model.add_argument("--json", action="store_true", help="one JSON object instead of a table, bytes as bytes")

    export = verb("export", "write a trained model in Hugging Face's form", _export)
    export.add_argument("--run", required=True, metavar="R", help="folder of the run")
    export.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new folder")
    export.add_argument(
        "--stage", choices=("pretrain", "finetune", "align"), help="which model (the one that chat asks)"
    )
    export.add_argument("--format", choices=("hf",), default="hf", help="hf: safetensors, config.json, tokenizer.json")

    imported = verb("import", "read a model in Hugging Face's form: qwen3, llama, gpt2", _import)
    imported.add_argument("folder", type=Path, help="with config.json, model.safetensors and tokenizer.json")
    imported.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new folder")


def _model(options: argparse.Namespace) -> int:
    from ..core.errors import RecipeError
    from ..core.recipe import load_recipe
    from .model_verb import run_model

    if options.ranks is not None and options.ranks < 1:
        raise RecipeError(f"--ranks is {options.ranks}", "give at least 1")
    return run_model(load_recipe(options.recipe, options.set), options.ranks, options.json)


def _export(options: argparse.Namespace) -> int:
    from ..core.run import Run
    from .exporting import run_export

    return run_export(Run.open(options.run), options.stage, options.out)


def _import(options: argparse.Namespace) -> int:
    from .importing import run_import

    return run_import(options.folder, options.out)
