"""The HTTP application: OpenAI's paths under /v1, the page that chats, and /health.

    POST /v1/chat/completions   POST /v1/completions   GET /v1/models   GET /v1/models/NAME
    GET /   GET /page.css   GET /page.js   GET /health

Any ASGI server can run it; serve/deployment.py is the one on Ray Serve.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route

from ..chat.engine_thread import STOPPED, QueueFull, Reply
from ..chat.requests import Piece, Request
from ..core.errors import InputError, StageError
from .answers import ChatShape, CompletionShape, Json, Shape, usage
from .backend import PROMPT_TOO_LONG, Backend
from .bodies import read_body
from .errors import ApiError, answer_error, json_response, to_json
from .guard import Guard
from .schema import ChatBody, Common, CompletionBody
from .sending import ClientGone, EventStream, while_connected

Body = TypeVar("Body", bound=Common)
PAGE = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def build_app(backend: Backend) -> Starlette:
    """The application of a model; its engine's thread must run."""
    api = Api(backend)
    routes = [
        Route("/v1/chat/completions", api.chat, methods=["POST"]),
        Route("/v1/completions", api.completions, methods=["POST"]),
        Route("/v1/models", api.models),
        Route("/v1/models/{name:path}", api.model),
        Route("/health", api.health),
        *(Route(path, _file(*of)) for path, of in PAGE.items()),
    ]
    handlers = {ApiError: answer_error, HTTPException: _answer_http, Exception: answer_error}
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, settings=backend.settings)],
        exception_handlers=handlers,  # pyright: ignore[reportArgumentType]
    )


class Api:
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def chat(self, http: HttpRequest) -> Response:
        body = await self._read(http, ChatBody)
        reply = await self._submitted(self._backend.chat, body)
        shape = ChatShape(self._backend.name, self._backend.session.tokenizer, body.logprobs)
        return await self._answer(http, body, reply, shape)

    async def completions(self, http: HttpRequest) -> Response:
        body = await self._read(http, CompletionBody)
        reply = await self._submitted(self._backend.completion, body)
        shape = CompletionShape(self._backend.name, self._backend.session.tokenizer, body.logprobs is not None)
        return await self._answer(http, body, reply, shape)

    async def _read(self, http: HttpRequest, kind: type[Body]) -> Body:
        settings = self._backend.settings
        return await read_body(http, kind, settings.max_body_bytes, settings.body_seconds)

    async def models(self, http: HttpRequest) -> Response:
        return json_response({"object": "list", "data": [self._described()]})

    async def model(self, http: HttpRequest) -> Response:
        self._backend.check_model(http.path_params["name"])
        return json_response(self._described())

    async def health(self, http: HttpRequest) -> Response:
        """200 while the engine runs, else 503; how many slots are in use, and how many requests wait."""
        worker, load = self._backend.worker, self._backend.worker.load
        found = {"status": "ok" if worker.alive else "stopped", "model": self._backend.name,
                 "slots": load.slots, "running": load.running, "waiting": load.waiting}  # fmt: skip
        return json_response(found, 200 if worker.alive else 503)

    def _described(self) -> Json:
        """OpenAI's fields, and what our page shows."""
        backend = self._backend
        found = {"id": backend.name, "object": "model", "created": backend.created, "owned_by": "crawl2chat"}
        shown = {"context_window": backend.session.context, "sampling": backend.sampling}
        return found | shown | {"questions": backend.questions}

    async def _answer(self, http: HttpRequest, body: Common, reply: Reply, shape: Shape) -> Response:
        if body.stream:
            return EventStream(_events(reply, shape, body.wants_usage), reply.close)
        try:
            pieces = await while_connected(http.receive, _all(reply))
        except ClientGone:
            return Response(status_code=499)  # nobody reads it; the number is nginx's
        finally:
            reply.close()
        if pieces[-1].error is not None:
            raise _failed(pieces[-1].error)
        return json_response(shape.whole(pieces, _usage(reply)))

    async def _submitted(self, make: Callable[[Body], Awaitable[Request]], body: Body) -> Reply:
        """The reply to a body's request. A place in the queue comes first: nobody's prompt is encoded without one."""
        worker = self._backend.worker
        try:
            with worker.reserve() as place:
                return worker.submit(await make(body), place)
        except QueueFull as full:
            seconds, load = str(max(1, math.ceil(full.seconds))), worker.load
            message = f"{load.slots} requests are being answered and {load.waiting} wait: come again in {seconds} s"
            raise ApiError(message, code="queue_full", status=429, headers={"Retry-After": seconds}) from full
        except InputError as error:
            raise ApiError(error.message, code=PROMPT_TOO_LONG) from error
        except StageError as error:
            raise ApiError(error.message, code="stopped", status=503) from error


async def _all(reply: Reply) -> list[Piece]:
    return [piece async for piece in reply]


async def _events(reply: Reply, shape: Shape, with_usage: bool) -> AsyncGenerator[bytes, None]:
    """The events of a streamed answer."""
    opening = shape.opening()
    if opening is not None:
        yield to_json(_with_null(opening, with_usage))
    async for piece in reply:
        if piece.error is not None:
            yield to_json(_failed(piece.error).body())
            return
        yield to_json(_with_null(shape.chunk(piece), with_usage))
    if with_usage:
        yield to_json(shape.closing(_usage(reply)))
    yield b"[DONE]"


def _failed(message: str) -> ApiError:
    if message == STOPPED:
        return ApiError(message, code="stopped", status=503)
    return ApiError(message, code="engine_error", status=500)


def _with_null(chunk: Json, with_usage: bool) -> Json:
    return chunk | {"usage": None} if with_usage else chunk


def _usage(reply: Reply) -> Json:
    return usage(len(reply.generation.request.ids), reply.generation.tokens)


def _file(name: str, media_type: str):
    content = Path(__file__).with_name(name).read_bytes()

    async def send(http: HttpRequest) -> Response:
        return Response(content, media_type=media_type, headers={"Cache-Control": "no-cache"})

    return send


async def _answer_http(http: HttpRequest, error: Exception) -> Response:
    """Starlette's own refusals: no such path, a method that a path does not have."""
    assert isinstance(error, HTTPException)
    message = f"{http.method} {http.url.path}: {str(error.detail).lower()}"
    return ApiError(message, code="unknown_url", status=error.status_code, headers=error.headers).response()
