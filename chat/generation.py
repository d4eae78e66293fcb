"""A request on its way through the engine: what it has written, and when it ends."""

from __future__ import annotations

from ..tokenize.bpe import Tokenizer
from .requests import Finish, Piece, Request, Written
from .streamed_text import StreamedText


class Generation:
    """A request on its way. `tokens` counts those written so far."""

    def __init__(self, request: Request, tokenizer: Tokenizer, context: int) -> None:
        self.request = request
        self.tokens = 0
        self.read = 0  # tokens of the prompt that are in the cache
        self.newest = -1
        self.finished = False
        self.steps = min(request.max_tokens, context - len(request.ids) + 1)
        self.uniforms = request.sampling.uniforms(self.steps)
        self._text = StreamedText(tokenizer, request.stop)

    def take(self, written: Written) -> Piece | None:
        """A token of this text: what may be shown now, if anything."""
        if written.token in self.request.stop_ids:
            return self._end(("", ()), "stop")
        self.tokens += 1
        self.newest = written.token
        given = self._text.add(written)
        if self._text.stopped:
            return self._end(given, "stop")
        if self.tokens == self.steps:
            return self._end(given, "length")
        return Piece(*given) if given[0] or given[1] else None

    def fail(self, message: str) -> Piece:
        self.finished = True
        return Piece("", error=message)

    def _end(self, given: tuple[str, tuple[Written, ...]], finish: Finish) -> Piece:
        self.finished = True
        text, written = self._text.rest()
        return Piece(given[0] + text, given[1] + written, finish)
