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
  crawl2chat export --run runs/tiny --format gguf --type q8_0 --out tiny.gguf
  crawl2chat import tiny-hf --out models/tiny              a model of Hugging Face's form as one of ours
  crawl2chat import tiny.gguf --out models/tiny            a GGUF file
  crawl2chat generate --model models/tiny "The history of"  continue a text with it
  crawl2chat chat --model models/tiny                      ask it
"""

Verb = Callable[[str, str, Callable[[argparse.Namespace], int]], argparse.ArgumentParser]


def add_model_verbs(verb: Verb) -> None:
    """Add the verbs; `verb(name, about, function)` makes a parser."""
    model = verb("model", "what the model of a recipe costs", _model)
    model.add_argument("recipe", help="a YAML file, or the name of a shipped recipe")
    model.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a value; repeatable")
    model.add_argument("--ranks", type=int, metavar="N", help="instead of resources.train_workers")
    model.add_argument("--json", action="store_true", help="one JSON object instead of a table, bytes as bytes")

    export = verb("export", "write a trained or imported model for other programs", _export)
    which = export.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", metavar="R", help="folder of the run")
    which.add_argument("--model", type=Path, metavar="M", help="instead of a run: folder of an imported model")
    export.add_argument("--out", required=True, type=Path, metavar="NEW", help="a new folder; of a GGUF a new file")
    export.add_argument(
        "--stage", choices=("pretrain", "finetune", "align"), help="which model of a run (the one that chat asks)"
    )
    form = "hf: safetensors, config.json, tokenizer.json (hf); gguf: one file, for llama.cpp"
    export.add_argument("--format", choices=("hf", "gguf"), default="hf", help=form)
    export.add_argument(
        "--type", choices=("f32", "f16", "bf16", "q8_0"), help="of a GGUF's matrices (f32); vectors stay f32"
    )
    export.add_argument("--lora", type=Path, metavar="FILE", help="LoRA's parameters, put into the weights")

    imported = verb("import", "read a model that was made elsewhere: qwen3, llama, gpt2", _import)
    imported.add_argument(
        "model", type=Path, help="a .gguf file, or a folder with config.json, model.safetensors and tokenizer.json"
    )
    imported.add_argument("--out", required=True, type=Path, metavar="FOLDER", help="a new folder")
    imported.add_argument("--context", type=int, metavar="N", help="shorter than the model's, for training on")


def _model(options: argparse.Namespace) -> int:
    from ..core.errors import RecipeError
    from ..core.recipe import load_recipe
    from .model_verb import run_model

    if options.ranks is not None and options.ranks < 1:
        raise RecipeError(f"--ranks is {options.ranks}", "give at least 1")
    return run_model(load_recipe(options.recipe, options.set), options.ranks, options.json)


def _export(options: argparse.Namespace) -> int:
    from ..core.errors import InputError
    from ..core.run import Run
    from .exporting import run_export

    if options.type and options.format != "gguf":
        raise InputError(f"--type {options.type} is for GGUF files; a folder is written in f32", "add --format gguf")
    where = options.model or Run.open(options.run)
    return run_export(where, options.stage, options.out, options.format, options.type or "f32", options.lora)


def _import(options: argparse.Namespace) -> int:
    from .importing import run_import

    return run_import(options.model, options.out, options.context)
