"""More work than there is room for: the queue's end, clients that hang up, thousands of messages."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from crawl2chat.chat.session import ChatSession
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.serve.settings import ServerSettings
from crawl2chat.tokenize.bpe import Tokenizer

from .conftest import BODY, http_server


@pytest.fixture(scope="module")
def jinja(trained: Path) -> Iterator[str]:
    """A long context, and a template of Jinja's that takes any number of turns."""
    tokenizer = Tokenizer.load(trained / "tokenizer" / "tokenizer.json")
    source = (
        "{% for message in messages %}{{ '<|user|>' if message.role == 'user' else '<|assistant|>' }}"
        "{{ message.content + '<|end|>' }}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
    )
    config = ModelConfig(
        vocab_size=tokenizer.vocab_size, layers=1, width=8, heads=1, kv_heads=1, feed_forward=8, context=16384
    )
    model = Transformer(config)
    model.init_weights(1)
    session = ChatSession(model.eval(), tokenizer, {"kind": "jinja", "source": source, "variables": {}})
    with http_server.running(session, ServerSettings(slots=1)) as found:
        yield found


def test_thousands_of_tiny_messages_hold_up_nobody(jinja: str) -> None:
    """4,001 messages take some 12,000 tokens, in a thread; the server answers others meanwhile."""
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}] * 2000
    body = {"model": "small", "messages": [*turns, {"role": "user", "content": "z"}], "max_tokens": 1}
    with ThreadPoolExecutor(2) as threads:
        for truncation in ("disabled", "auto"):
            asked = threads.submit(
                httpx.post, f"{jinja}/v1/chat/completions", json=body | {"truncation": truncation}, timeout=60
            )
            others = 0
            while not asked.done():
                assert httpx.get(f"{jinja}/health", timeout=30).status_code == 200
                others += 1
            assert asked.result().status_code == 200, asked.result().text
            assert others > 2, "it stood still"
    found = httpx.post(f"{jinja}/v1/chat/completions", json=body | {"messages": [*turns * 5, body["messages"][-1]]})
    assert found.status_code == 400 and "at least 20001 tokens" in found.json()["error"]["message"]


def test_nothing_is_encoded_without_a_place(session: ChatSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one prompt is being encoded the only place is taken: the next request is refused at once."""
    began, may_end, encoded, encode = threading.Event(), threading.Event(), [], ChatSession.encode

    def slow(self: ChatSession, messages: Any) -> list[int]:
        encoded.append(messages)
        began.set()
        assert may_end.wait(30)
        return encode(self, messages)

    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}] * 17
    many = BODY | {"messages": [*turns, *BODY["messages"]]}  # so many that a thread encodes them
    with (
        http_server.running(session, ServerSettings(slots=1, queue=0)) as address,
        ThreadPoolExecutor(1) as threads,
        monkeypatch.context() as patched,
    ):
        patched.setattr(ChatSession, "encode", slow)
        first = threads.submit(httpx.post, f"{address}/v1/chat/completions", json=many, timeout=60)
        assert began.wait(30)
        assert httpx.get(f"{address}/health").json()["waiting"] == 1
        found = httpx.post(f"{address}/v1/chat/completions", json=BODY)
        assert (found.status_code, found.json()["error"]["code"]) == (429, "queue_full")
        may_end.set()
        assert first.result().status_code in (200, 400) and len(encoded) == 1
        found = httpx.post(f"{address}/v1/chat/completions", json=BODY, timeout=60)
        assert found.status_code == 200, "the place is free again"


def test_a_client_that_hangs_up_in_mid_stream_frees_its_slot(endless: str) -> None:
    body = {"model": "endless", "messages": BODY["messages"], "stream": True}
    for _ in range(3):  # more than there are slots and places
        with (
            httpx.stream("POST", f"{endless}/v1/chat/completions", json=body, timeout=30) as one,
            httpx.stream("POST", f"{endless}/v1/chat/completions", json=body, timeout=30) as other,
        ):
            streams = [one.iter_lines(), other.iter_lines()]  # kept: an iterator that goes closes its stream
            for stream in streams:
                assert sum(bool(next(stream)) for _ in range(20)) > 5
            assert httpx.get(f"{endless}/health").json()["running"] == 2
        http_server.until_idle(endless)


def test_a_client_that_hangs_up_while_it_waits_frees_its_slot(endless: str) -> None:
    """Without streaming: nothing has been sent when it goes; and one that goes while it waits in the queue."""
    where = urlsplit(endless)
    body = json.dumps({"model": "endless", "messages": BODY["messages"]}).encode()
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = head.encode() + f"Content-Length: {len(body)}\r\n\r\n".encode() + body
    sockets = [socket.create_connection((where.hostname, where.port)) for _ in range(4)]
    for one in sockets:
        one.sendall(request)
    while (load := httpx.get(f"{endless}/health").json())["running"] + load["waiting"] < 4:
        pass
    assert (load["running"], load["waiting"]) == (2, 2)
    for one in sockets[::-1]:
        one.close()
    http_server.until_idle(endless)


def test_the_queue_has_an_end(endless: str) -> None:
    body = {"model": "endless", "messages": BODY["messages"], "stream": True}
    with httpx.Client(timeout=30) as client:
        requests = [client.build_request("POST", f"{endless}/v1/chat/completions", json=body) for _ in range(2)]
        streams = [client.send(one, stream=True) for one in requests]  # these are being written
        where = urlsplit(endless)
        queued = [socket.create_connection((where.hostname, where.port)) for _ in range(4)]
        text = json.dumps(body).encode()
        head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        for one in queued:
            one.sendall(head.encode() + f"Content-Length: {len(text)}\r\n\r\n".encode() + text)
        while httpx.get(f"{endless}/health").json()["waiting"] < 4:
            pass
        found = client.post(f"{endless}/v1/chat/completions", json=body)
        assert found.status_code == 429
        assert int(found.headers["Retry-After"]) >= 1
        assert found.json()["error"]["type"] == "rate_limit_error"
        for one in (*streams, *queued):
            one.close()
    http_server.until_idle(endless)
