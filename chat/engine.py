"""Many texts at once from one model: continuous batching over a cache of slots (Yu et al. 2022, "Orca").

A step reads a part of the prompts that wait, at most `chunk` tokens, and then writes one token of every text that is
being written. So texts begin and end at any step, and a long prompt delays the others by a chunk at a time
(Agrawal et al. 2023, "SARATHI"). The slots of texts being written come first, behind them is that of the one prompt
that is being read.

The engine belongs to one thread; chat/engine_thread.py puts one between it and others. What a text says does not depend
on the texts beside it, but for floating point: products over more rows may be summed in another order.

B texts, V vocabulary.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..core.errors import InputError
from ..model.batch_sampling import BatchSampler
from ..model.slots import SlotCache
from ..model.transformer import Transformer
from ..tokenize.bpe import Tokenizer
from .generation import Generation
from .requests import Piece, Request, Written

CHUNK = 256  # tokens of prompts in a step
NOT_FINITE = "the model gives logits that are not finite: its training diverged"


Pieces = list[tuple[Generation, Piece]]


class Engine:
    """`prepare` and `add` requests, then `step` while `busy`: each step gives the pieces that came out of it."""

    def __init__(self, model: Transformer, tokenizer: Tokenizer, slots: int = 8, chunk: int = CHUNK) -> None:
        weight = model.embedding.weight
        self._model, self._tokenizer, self._chunk = model, tokenizer, chunk
        self._device = weight.device
        self._cache = SlotCache(model.config, slots, weight.device, weight.dtype)
        self._waiting: deque[Generation] = deque()
        self._reading: Generation | None = None  # its slot is the first behind those of `_writing`
        self._writing: list[Generation] = []  # by slot
        self._sampler: BatchSampler | None = None  # of `_writing`; None when that has changed

    @property
    def busy(self) -> bool:
        return bool(self._waiting or self._reading or self._writing)

    @property
    def slots(self) -> int:
        return self._cache.slots

    @property
    def running(self) -> int:
        """Slots in use."""
        return len(self._writing) + (self._reading is not None)

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def prepare(self, request: Request) -> Generation:
        """A request as `add` takes it; any thread may call this. Raises InputError when the prompt is longer than the
        context."""
        context = self._model.config.context
        if len(request.ids) > context:
            raise InputError(
                f"the prompt has {len(request.ids)} tokens, the model's context {context}", "give a shorter prompt"
            )
        return Generation(request, self._tokenizer, context)

    def add(self, generation: Generation) -> None:
        """Let it wait for a slot."""
        self._waiting.append(generation)

    def cancel(self, generation: Generation) -> None:
        """Forget a request, wherever it stands, and free its slot. Nothing happens to a finished one."""
        if generation.finished:
            return
        generation.finished = True
        if generation is self._reading:
            self._reading = None
            self._cache.scrub(self.running)  # nobody has seen whether its numbers are finite
        elif generation in self._writing:
            self._leave()
        else:
            self._waiting.remove(generation)

    def fail(self, message: str) -> Pieces:
        """End all requests with an error: after an exception within a step the cache cannot be trusted."""
        current = [*self._writing, *([self._reading] if self._reading else []), *self._waiting]
        self._waiting.clear()
        self._reading, self._writing, self._sampler = None, [], None
        self._cache.scrub(0)
        return [(one, one.fail(message)) for one in current]

    @torch.inference_mode()
    def step(self) -> Pieces:
        """Read prompts, write a token of each text: the pieces that came out, none or several of a text."""
        found = list(self._read())
        if self._writing:
            found += self._write()
        return found

    def _read(self) -> Iterator[tuple[Generation, Piece]]:
        """Read prompts, one after the other, while there are slots and the chunk is not used up."""
        left = self._chunk
        while left > 0:
            if self._reading is None:
                if not self._waiting or len(self._writing) == self.slots:
                    return
                self._reading = self._waiting.popleft()
                self._cache.lengths[len(self._writing)] = 0
            one, slot = self._reading, len(self._writing)
            part = one.request.ids[one.read : one.read + left]
            cache = self._cache.one(slot)
            tokens_1T = torch.tensor([part], device=self._device)
            logits_1V = self._model(tokens_1T, cache, last_only=True)[:, -1]
            self._cache.lengths[slot] = cache.length
            one.read += len(part)
            left -= len(part)
            if one.read == len(one.request.ids):
                self._reading = None
                self._writing.append(one)
                self._sampler = None
                yield from self._take([one], logits_1V, BatchSampler([one.request.sampling], self._device))

    def _write(self) -> Pieces:
        tokens_B1 = torch.tensor([[one.newest] for one in self._writing], device=self._device)
        logits_BV = self._model(tokens_B1, self._cache.step(len(self._writing)))[:, -1]
        if self._sampler is None:
            self._sampler = BatchSampler([one.request.sampling for one in self._writing], self._device)
        return self._take(list(self._writing), logits_BV, self._sampler)

    def _take(self, texts: Sequence[Generation], logits_BV: Tensor, sampler: BatchSampler) -> Pieces:
        """Draw a token for each text, and let go of those that end. A text whose logits are not finite ends alone."""
        logits_BV = logits_BV.float()
        sound_B = torch.isfinite(logits_BV).all(-1)
        sound = sound_B.tolist()
        if not all(sound):
            logits_BV = torch.where(sound_B[:, None], logits_BV, 0.0)
        drawn = sampler.draw(logits_BV, [one.uniforms[one.tokens] for one in texts])
        written = _written(texts, logits_BV, drawn)
        pieces = [
            (one, one.take(token) if fine else one.fail(NOT_FINITE))
            for one, token, fine in zip(texts, written, sound, strict=True)
        ]
        if any(one.finished for one in texts):
            self._leave()
        if not all(sound):
            self._cache.scrub(self.running)
        return [(one, piece) for one, piece in pieces if piece is not None]

    def _leave(self) -> None:
        """Take finished texts out; the last ones move into their slots, and the prompt behind them."""
        for slot in range(len(self._writing) - 1, -1, -1):
            if not self._writing[slot].finished:
                continue
            last = len(self._writing) - 1
            if slot != last:
                self._cache.move(last, slot)
                self._writing[slot] = self._writing[last]
            self._writing.pop()
            if self._reading is not None:
                self._cache.move(last + 1, last)
        self._sampler = None


def _written(texts: Sequence[Generation], logits_BV: Tensor, drawn: Sequence[int]) -> list[Written]:
    """The drawn tokens, with log-probabilities where they are asked for."""
    written = [Written(token) for token in drawn]
    rows = [number for number, one in enumerate(texts) if one.request.logprobs is not None]
    if not rows:
        return written
    log_p_RV = logits_BV[rows].log_softmax(-1)
    most = min(max(texts[row].request.logprobs or 0 for row in rows), log_p_RV.shape[1])
    values, ids = (one.tolist() for one in log_p_RV.topk(most))
    for number, row in enumerate(rows):
        count = texts[row].request.logprobs or 0
        likeliest = tuple(zip(ids[number][:count], values[number][:count], strict=True))
        written[row] = Written(drawn[row], float(log_p_RV[number, drawn[row]]), likeliest)
    return written
