"""What tests of fine-tuning and alignment data share: a stage's context, files, the tokenizer of an imported model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.stage import StageContext
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_templates import CHATML
from crawl2chat.train.chat_rejects import LEDGER
from tokenizers import AddedToken, models, pre_tokenizers
from tokenizers.decoders import ByteLevel


def chat(number: int, question: str, answer: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"doc_id": f"d{number}", "messages": turns}


def write(path: Path, rows: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def context_maker(tmp_path: Path) -> Callable[..., StageContext]:
    """Makes a stage's context with instruction pairs of six documents, two of them held out."""

    def make(stage: str, instructed: bool = True, **sections: Any) -> StageContext:
        sources = [{"name": "wiki", "kind": "jsonl", "paths": ["unused.jsonl"]}]
        recipe = {"name": "x", "storage": str(tmp_path), "sources": sources, **sections}
        run = Run(Recipe.model_validate(recipe | ({"instructions": {}} if instructed else {})))
        rows = [chat(n, f"What is {n}{m}?", f"The number {n}.") for n in range(6) for m in range(2)]
        write(run.stage("instructions") / "pairs.jsonl", rows[:8])
        write(run.stage("instructions") / "pairs_validation.jsonl", rows[8:])
        empty: dict[str, Any] = {"config": {}, "inputs": {}, "files": [], "counters": {}, "facts": {}}
        manifest = Manifest(stage="instructions", version=1, fingerprint="", code_version="", seconds=0, **empty)
        run.stage(stage).mkdir(parents=True)
        inputs = {"tokenizer": manifest} | ({"instructions": manifest} if instructed else {})
        return StageContext(run, run.stage(stage), inputs, Progress(stage))

    return make


def imported(folder: Path) -> Tokenizer:
    """The tokenizer of a model made elsewhere, of bytes, with a chat template beside it."""
    alphabet = {one: index for index, one in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = tokenizers.Tokenizer(models.BPE(vocab=alphabet, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    made.decoder = ByteLevel()  # type: ignore[assignment]
    made.add_special_tokens([AddedToken(one, special=True) for one in ("<s>", "<|im_start|>", "<|im_end|>")])
    folder.mkdir(parents=True)
    made.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "<|im_end|>", "chat_template": CHATML}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return Tokenizer.load(folder / "tokenizer.json")


def ledger(ctx: StageContext) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ctx.folder / LEDGER).read_text().splitlines()]
