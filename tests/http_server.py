"""The HTTP application on a port of its own, in a thread of the test; and a model that writes until it is stopped."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch
import uvicorn
from crawl2chat.chat.session import ChatSession
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.serve.app import build_app
from crawl2chat.serve.backend import Backend
from crawl2chat.serve.settings import SAMPLING, ServerSettings
from crawl2chat.tokenize.bpe import Tokenizer


@contextmanager
def running(
    session: ChatSession,
    settings: ServerSettings | None = None,
    name: str = "small",
    around: Callable[[Any], Any] = lambda app: app,
    **given: Any,
) -> Iterator[str]:
    """Serve a model until the block ends: the server's address. `around` puts something between it and the
    application, `given` are the backend's."""
    given = {"sampling": dict(SAMPLING), "settings": settings or ServerSettings(), **given}
    backend = Backend(session, name=name, **given)
    backend.worker.start()
    app = around(build_app(backend))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        deadline = time.monotonic() + 30
        while not server.started:
            assert thread.is_alive() and time.monotonic() < deadline, "the server does not start"
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=30)
            backend.worker.stop()


def endless_session(tokenizer: Path, context: int = 8192) -> ChatSession:
    """A model of random weights to which nothing means the end, and which takes some seconds to fill its context.

    Where something does mean the end, as in a folder, it does not write that at temperature 0: special tokens have the
    logit 0, and among the others one has more.
    """
    found = Tokenizer.load(tokenizer)
    config = ModelConfig(
        vocab_size=found.vocab_size, layers=2, width=32, heads=2, kv_heads=1, feed_forward=64, context=context
    )
    model = Transformer(config)
    generator = torch.Generator().manual_seed(8)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.empty_like(parameter).normal_(parameter.dim() == 1, 0.3, generator=generator))
        model.embedding.weight[list(found.special_tokens.values())] = 0
    session = ChatSession(model.eval(), found)
    session.stop_ids = frozenset()
    return session


def until_idle(address: str, seconds: float = 20) -> None:
    """Wait until no slot is in use and nothing waits, as /health tells."""
    deadline = time.monotonic() + seconds
    while True:
        health = httpx.get(f"{address}/health").json()
        if health["running"] == health["waiting"] == 0:
            return
        assert time.monotonic() < deadline, health
        time.sleep(0.02)
