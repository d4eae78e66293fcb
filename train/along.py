"""What the model writes on its way: samples.jsonl, after each validation, written by rank 0.

    {step, prompt, text}

The likeliest token each time, so that no random number is drawn: losses are the same with and without. Every rank makes
the same forwards, as sharded models demand, over rows of one length and without a cache: some dozens of short ones.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..core.files import write_text
from ..tokenize.bpe import Tokenizer
from .loss import mixed_precision
from .world import World

FILE_NAME = "samples.jsonl"
TOKENS = 40


@dataclass(frozen=True)
class Along:
    """Continues the prompts. `context` is the model's."""

    prompts: tuple[str, ...]
    tokenizer: Tokenizer
    context: int

    @torch.no_grad()
    def __call__(self, model: nn.Module, precision: str, world: World) -> list[dict[str, Any]]:
        """Prompts and continuations, the same on every rank up to rounding. The model stays as it is."""
        room = min(TOKENS, self.context // 2)
        begin = self.tokenizer.end_of_text
        asked = [[begin, *self.tokenizer.encode(prompt)][-(self.context - room) :] for prompt in self.prompts]
        tokens_BT = torch.full((len(asked), max(map(len, asked)) + room), begin, device=world.device)
        for row, ids in enumerate(asked):
            tokens_BT[row, : len(ids)] = torch.tensor(ids)
        rows_B = torch.arange(len(asked), device=world.device)
        length_B = torch.tensor([len(ids) for ids in asked], device=world.device)
        model.eval()
        with torch.compiler.set_stance("force_eager"):
            for _ in range(room):  # what stands behind a row's end is not seen: attention is causal
                with mixed_precision(model, precision, world.device):
                    logits_BTV = model(tokens_BT)
                tokens_BT[rows_B, length_B] = logits_BTV[rows_B, length_B - 1].argmax(-1)
                length_B += 1
        model.train()
        written = tokens_BT.tolist()
        return [
            {"prompt": prompt, "text": self._text(written[row][len(ids) : len(ids) + room])}
            for row, (prompt, ids) in enumerate(zip(self.prompts, asked, strict=True))
        ]

    def _text(self, ids: list[int]) -> str:
        """Up to the end of the text, where the model ends it."""
        end = self.tokenizer.end_of_text
        return self.tokenizer.decode(ids[: ids.index(end)] if end in ids else ids)


def add_samples(folder: Path, step: int, rows: list[dict[str, Any]]) -> None:
    with (folder / FILE_NAME).open("a", encoding="utf-8") as file:
        file.write("".join(json.dumps({"step": step} | row, ensure_ascii=False) + "\n" for row in rows))


def cut_samples(folder: Path, step: int) -> None:
    """Leave those of the steps up to this one: the others are written again."""
    path = folder / FILE_NAME
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        whole = (line for line in lines if line.endswith("\n"))
        write_text(path, "".join(line for line in whole if step and json.loads(line)["step"] <= step))
