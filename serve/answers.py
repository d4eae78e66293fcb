"""What the server sends: OpenAI's objects for whole answers and for their pieces.

A `Shape` makes both for one request: chat completions or completions. Whole answers and streamed ones are made of the
same pieces, so they say the same.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

from ..chat.requests import Piece, Written
from ..tokenize.bpe import Tokenizer

Json = dict[str, Any]


class Shape(Protocol):
    """How one request is answered."""

    def whole(self, pieces: Sequence[Piece], usage: Json) -> Json:
        """The answer in one object."""
        ...

    def opening(self) -> Json | None:
        """What is sent before the first piece."""
        ...

    def chunk(self, piece: Piece) -> Json: ...

    def closing(self, usage: Json) -> Json:
        """What is sent behind the last piece where usage is wanted."""
        ...


class ChatShape:
    def __init__(self, model: str, tokenizer: Tokenizer, logprobs: bool) -> None:
        self._tokenizer, self._logprobs = tokenizer, logprobs
        self._head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": model}

    def whole(self, pieces: Sequence[Piece], usage: Json) -> Json:
        text = "".join(piece.text for piece in pieces)
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": None},
            "logprobs": self._of([one for piece in pieces for one in piece.written]),
            "finish_reason": pieces[-1].finish,
        }
        return self._head | {"object": "chat.completion", "choices": [choice], "usage": usage}

    def opening(self) -> Json:
        return self._chunk({"role": "assistant", "content": ""}, None, None)

    def chunk(self, piece: Piece) -> Json:
        delta = {"content": piece.text} if piece.text or not piece.finish else {}
        return self._chunk(delta, self._of(piece.written) if piece.written else None, piece.finish)

    def closing(self, usage: Json) -> Json:
        return self._head | {"object": "chat.completion.chunk", "choices": [], "usage": usage}

    def _chunk(self, delta: Json, logprobs: Json | None, finish: str | None) -> Json:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return self._head | {"object": "chat.completion.chunk", "choices": [choice]}

    def _of(self, written: Sequence[Written]) -> Json | None:
        if not self._logprobs:
            return None
        content = [
            self._token(one.token, one.logprob)
            | {"top_logprobs": [self._token(token, value) for token, value in one.likeliest]}
            for one in written
        ]
        return {"content": content, "refusal": None}

    def _token(self, token: int, logprob: float | None) -> Json:
        raw = self._tokenizer.decode_bytes([token])
        return {"token": raw.decode("utf-8", "replace"), "logprob": logprob, "bytes": list(raw)}


class CompletionShape:
    def __init__(self, model: str, tokenizer: Tokenizer, logprobs: bool) -> None:
        self._tokenizer, self._logprobs = tokenizer, logprobs
        self._head = {
            "id": f"cmpl-{uuid.uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": model,
        }  # fmt: skip
        self._offset = 0

    def whole(self, pieces: Sequence[Piece], usage: Json) -> Json:
        text = "".join(piece.text for piece in pieces)
        written = tuple(one for piece in pieces for one in piece.written)
        return self._choice(text, written, pieces[-1].finish) | {"usage": usage}

    def opening(self) -> None:
        return None

    def chunk(self, piece: Piece) -> Json:
        return self._choice(piece.text, piece.written, piece.finish)

    def closing(self, usage: Json) -> Json:
        return self._head | {"choices": [], "usage": usage}

    def _choice(self, text: str, written: Sequence[Written], finish: str | None) -> Json:
        choice = {"index": 0, "text": text, "logprobs": self._of(written), "finish_reason": finish}
        return self._head | {"choices": [choice]}

    def _of(self, written: Sequence[Written]) -> Json | None:
        """Offsets count the characters of the tokens as they are listed."""
        if not self._logprobs:
            return None
        tokens = [self._tokenizer.decode([one.token]) for one in written]
        offsets = []
        for token in tokens:
            offsets.append(self._offset)
            self._offset += len(token)
        return {
            "tokens": tokens,
            "token_logprobs": [one.logprob for one in written],
            "top_logprobs": [{self._tokenizer.decode([t]): value for t, value in one.likeliest} for one in written],
            "text_offset": offsets,
        }


def usage(prompt: int, written: int) -> Json:
    return {"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written}
