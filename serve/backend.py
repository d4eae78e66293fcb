"""The served model, and how a request's body becomes one of the engine's: prompt, limits, sampling."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import torch

from ..chat.engine import Engine
from ..chat.engine_thread import EngineThread
from ..chat.requests import Request
from ..chat.session import ChatSession, Options
from ..core.errors import InputError
from ..model.batch_sampling import Sampling
from .errors import ApiError
from .schema import ChatBody, Common, CompletionBody
from .settings import ServerSettings, Source

SHORT = 4096  # bytes that are encoded at once, without a thread
MESSAGE = 128  # bytes of text that a message costs as much as, whatever it says
COMPLETION_TOKENS = 16  # of a completion that does not say, as at OpenAI's
PROMPT_TOO_LONG = "context_length_exceeded"


class Backend:
    """Model, engine and limits behind the HTTP application."""

    def __init__(
        self,
        session: ChatSession,
        sampling: dict[str, Any],
        name: str,
        settings: ServerSettings,
        questions: Sequence[str] = (),
    ) -> None:
        """`sampling` where a request does not say; `questions` to begin with."""
        self.session, self.name, self.settings = session, name, settings
        self.sampling, self.questions = sampling, list(questions)
        self.created = int(time.time())
        self._bytes_a_token = int(session.tokenizer.token_bytes().max())
        self.worker = EngineThread(Engine(session.model, session.tokenizer, settings.slots), settings.queue)

    @classmethod
    def open(cls, source: Source, settings: ServerSettings) -> Backend:
        torch.set_num_threads(settings.threads or 1)
        session, sampling, questions = source.open()
        return cls(session, sampling, source.name, settings, questions)

    @property
    def longest_prompt(self) -> int:
        return min(self.settings.max_prompt_tokens or self.session.context, self.session.context)

    def check_model(self, name: str) -> None:
        if name != self.name:
            raise ApiError(f"no model {name!r} here: it is {self.name!r}", "model", "model_not_found", 404)

    async def chat(self, body: ChatBody) -> Request:
        """Raises ApiError."""
        self.check_model(body.model)
        messages = [one.plain() for one in body.messages]
        fit = body.truncation == "auto"
        if fit:
            messages = self._newest(messages)
        self._check_size(sum(map(_size, messages)), "messages", len(messages))
        options = Options(body.most_tokens or self.session.context, 1.0, None, None, 0)

        def encode() -> list[int]:
            return self.session.encode(self.session.fit(messages, options) if fit else messages)

        ids = await self._encoded(encode, sum(map(_size, messages)) + MESSAGE * len(messages), "messages")
        return self._request(body, ids, "messages", None)

    async def completion(self, body: CompletionBody) -> Request:
        """Raises ApiError. Token ids are taken as they are, a text begins a document."""
        self.check_model(body.model)
        prompt = body.prompt[0] if isinstance(body.prompt, list) and body.prompt[:1] else body.prompt
        if isinstance(body.prompt, list) and not isinstance(prompt, str):
            ids = [one for one in body.prompt if isinstance(one, int)]
            wrong = [one for one in ids if not 0 <= one < self.session.tokenizer.vocab_size]
            if wrong:
                raise ApiError(f"the tokenizer has no token {wrong[0]}", "prompt", "invalid_value")
        else:
            text = str(prompt)
            self._check_size(len(text.encode("utf-8", "replace")), "prompt")
            ids = await self._encoded(lambda: self.session.begin(text), len(text), "prompt")
        return self._request(body, ids, "prompt", COMPLETION_TOKENS)

    def _request(self, body: Common, ids: Sequence[int], param: str, default_tokens: int | None) -> Request:
        if not ids:
            raise ApiError("the prompt is empty", param, "invalid_value")
        if len(ids) > self.longest_prompt:
            raise self._too_long(f"{len(ids)} tokens", param)
        limit = self.settings.max_tokens or self.session.context
        if body.most_tokens is not None and body.most_tokens > limit:
            raise ApiError(
                f"max_tokens is {body.most_tokens}, this server gives at most {limit}", "max_tokens", "invalid_value"
            )
        drawn = {name: value if (value := getattr(body, name)) is not None else self.sampling[name]
                 for name in ("temperature", "top_k", "top_p")}  # fmt: skip
        seed = secrets.randbits(62) if body.seed is None else body.seed
        return Request(
            ids=tuple(ids),
            max_tokens=body.most_tokens or default_tokens or limit,
            sampling=Sampling(seed=seed, **drawn),
            stop_ids=self.session.stop_ids,
            stop=tuple(body.stop or ()),
            logprobs=body.likeliest,
        )

    async def _encoded(self, encode: Callable[[], list[int]], size: int, param: str) -> list[int]:
        """Token ids, of long texts without holding up other requests."""
        work: Awaitable[list[int]] | None = asyncio.to_thread(encode) if size > SHORT else None
        try:
            return encode() if work is None else await work
        except InputError as error:
            code = PROMPT_TOO_LONG if "tokens, the model's context" in error.message else "invalid_value"
            raise ApiError(error.message, param, code) from error

    def _newest(self, messages: list[dict[str, str]]) -> list[dict[str, str]]:
        """The conversation without oldest turns that cannot fit, whatever their tokens are: what is left is encoded."""
        system = [one for one in messages[:1] if one["role"] == "system"]
        turns, start = messages[len(system) :], 0
        size, most = sum(map(_size, turns)), self.longest_prompt * self._bytes_a_token
        while (left := len(turns) - start) > 2 and (size > most or left > self.longest_prompt):
            size -= sum(map(_size, turns[start : start + 2]))
            start += 2
        return [*system, *turns[start:]]

    def _check_size(self, size: int, param: str, messages: int = 0) -> None:
        """Refuse before encoding what cannot fit: a token has only so many bytes, and each message one of its own."""
        least = max(size // self._bytes_a_token, messages)
        if least > self.longest_prompt:
            raise self._too_long(f"at least {least} tokens", param)

    def _too_long(self, length: str, param: str) -> ApiError:
        context, most = self.session.context, self.longest_prompt
        what = f"the model's context has {most}" if most == context else f"this server takes at most {most}"
        return ApiError(f"the prompt has {length}, {what}", param, PROMPT_TOO_LONG)


def _size(message: dict[str, str]) -> int:
    """Bytes of a message's text."""
    return len(message["content"].encode("utf-8", "replace"))
