"""Scores on tasks while a model is trained: what the loop calls every some steps, on all ranks.

The figures join the metrics as eval/TASK/FIGURE, with how many `items` they are of and, where there is guessing, what
that gives as `chance`: without these nobody can tell a figure from noise. Nothing of the training is touched: no
weight, no random number, no compiled block; losses are the same to the bit with and without.

Ranks that hold the whole model share the items; where it is sharded (FSDP), every rank scores all items, as a forward
needs all ranks.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from ..core.errors import Crawl2ChatError
from ..core.remote_path import path_of
from ..model.transformer import Transformer
from ..train.world import World
from .asking import Asking, read_questions
from .figures import figures
from .records import Record
from .requests import encode_pairs
from .scoring import asked_pairs, score_asked
from .text_tokenizer import ModelTokenizer, TextTokenizer

NEVER = 1 << 40  # tokens that a shared prefix would have to save: a cache's numbers are not those of mixed precision


@dataclass(frozen=True)
class TaskProbe:
    """train/job.py's Probe. It travels to the workers, which read the tasks' files themselves."""

    askings: tuple[Asking, ...]
    tokenizer: str  # path of tokenizer.json
    batch_tokens: int

    def __call__(self, model: nn.Module, world: World) -> dict[str, float]:
        """The same figures on every rank. Raises, on all ranks, the error of the first that has one."""
        tokenizer = _tokenizer(self.tokenizer)
        plain = cast(Transformer, model.module if isinstance(model, DistributedDataParallel) else model)
        found: dict[str, float] = {}
        with _undisturbed(plain):
            for asking in self.askings:
                found |= self._figures(plain, tokenizer, asking, world)
        return found

    def check(self, context: int) -> None:
        """Raises InputError for what a model of this context could not score: before it is trained, not in between."""
        tokenizer = _tokenizer(self.tokenizer)
        for asking in self.askings:
            questions = read_questions(asking)
            asked = (asked_pairs(tokenizer, questions.task, *one) for one in questions.part(0, len(questions)))
            encode_pairs(tokenizer, [pair for some in asked for pair in some], context)

    def _figures(self, model: Transformer, tokenizer: TextTokenizer, asking: Asking, world: World) -> dict[str, float]:
        questions = read_questions(asking)
        shared = not isinstance(model, FSDPModule)
        parts, part = (world.size, world.rank) if shared else (1, 0)
        begin, end = (len(questions) * place // parts for place in (part, part + 1))
        records: list[Record] = []
        error: Exception | None = None
        try:
            asked = questions.part(begin, end)
            records = score_asked(model, tokenizer, questions.task, asked, self.batch_tokens, NEVER)
        except Crawl2ChatError as failure:
            error = failure
        world.agree(error)
        everywhere = world.gather(records) if shared else [records]
        whole = figures(questions.task, questions.items, [one for some in everywhere for one in some])
        found: dict[str, float] = {name: one.value for name, one in whole.items() if "/" not in name}
        found["items"] = len(questions)
        if chances := [one.chance for one in whole.values() if one.chance is not None]:
            found["chance"] = chances[0]
        return {f"eval/{asking.task}/{name}": value for name, value in found.items()}


@contextmanager
def _undisturbed(model: Transformer) -> Iterator[None]:
    """Rows are one text each, and blocks run as they are written: a compiled one would be compiled for every shape."""
    begin, model.document_begin = model.document_begin, None
    try:
        with torch.compiler.set_stance("force_eager"):
            yield
    finally:
        model.document_begin = begin


@lru_cache(maxsize=1)
def _tokenizer(path: str) -> TextTokenizer:
    return ModelTokenizer(path_of(path))
