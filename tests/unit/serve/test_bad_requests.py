"""What is wrong with a request is told by name, in OpenAI's form, with the right status; and the server goes on."""

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
import openai
import pytest
from crawl2chat.chat.session import ChatSession
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.serve.launch import allowed_hosts, digest_of
from crawl2chat.serve.settings import ServerSettings
from crawl2chat.tokenize.bpe import Tokenizer

from .conftest import ANSWER, QUESTION, http_server

BODY: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}


def refused(address: str, body: dict[str, Any] | bytes, status: int = 400, path: str = "chat/completions") -> dict:
    """The error of a request, after checking that it has OpenAI's form."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = httpx.post(f"{address}/v1/{path}", content=content, headers={"Content-Type": "application/json"})
    assert found.status_code == status, found.text
    error = found.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert httpx.post(f"{address}/v1/chat/completions", json=BODY, timeout=60).status_code == 200, "it goes on"
    return error


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not JSON"),
        (b'{"model": "small", "messages": [', "not JSON"),
        (b'{"model": "small" "messages"}', "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1, 2]", "of the type array, it must be an object"),
        (b'"text"', "of the type string"),
        (b"null", "of the type null"),
        (b'{"temperature": NaN}', "NaN is no number of JSON's"),
        (b"[" * 100_000, "not JSON"),
        (b'{"seed": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_wrong_json(address: str, body: bytes, says: str) -> None:
    error = refused(address, body)
    assert error["code"] == "invalid_json" and error["type"] == "invalid_request_error"
    assert says in error["message"]


@pytest.mark.parametrize(
    ("change", "code", "param", "says"),
    [
        ({"model": None}, "missing_required_parameter", "model", "missing required parameter: model"),
        ({"messages": None}, "missing_required_parameter", "messages", "messages"),
        ({"messages": []}, "invalid_value", "messages", "at least 1"),
        ({"messages": "Hello"}, "invalid_value", "messages", "valid list"),
        ({"messages": [{"role": "user"}]}, "missing_required_parameter", "messages.0.content", "content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", "messages.0.role", "'system'"),
        ({"messages": [{"role": "user", "content": " "}]}, "invalid_value", "messages", "message 1 (user) has no text"),
        ({"messages": [{"role": "assistant", "content": "x"}]}, "invalid_value", "messages", "it is the user's turn"),
        ({"messages": [*BODY["messages"], *BODY["messages"]]}, "invalid_value", "messages", "message 2 is the user's"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         "invalid_value", "messages.0.content", "a part is no text"),
        ({"temperature": "0.5"}, "invalid_value", "temperature", "valid number"),
        ({"temperature": 3}, "invalid_value", "temperature", "less than or equal to 2"),
        ({"temperature": -0.1}, "invalid_value", "temperature", "greater than or equal to 0"),
        ({"top_p": 0}, "invalid_value", "top_p", "greater than 0"),
        ({"top_p": 1.1}, "invalid_value", "top_p", "less than or equal to 1"),
        ({"max_tokens": 0}, "invalid_value", "max_tokens", "greater than or equal to 1"),
        ({"max_tokens": 1.5}, "invalid_value", "max_tokens", "valid integer"),
        ({"max_tokens": 10**9}, "invalid_value", "max_tokens", "this server gives at most"),
        ({"stream": "yes"}, "invalid_value", "stream", "valid boolean"),
        ({"stop": ""}, "invalid_value", "stop.0", "at least 1 character"),
        ({"stop": list("abcde")}, "invalid_value", "stop", "at most 4"),
        ({"stop": 7}, "invalid_value", "stop", "valid list"),
        ({"seed": 2**63}, "invalid_value", "seed", "less than"),
        ({"top_logprobs": 3}, "invalid_value", None, "top_logprobs needs logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "invalid_value", "top_logprobs", "less than or equal to 20"),
        ({"n": 2}, "unsupported_parameter", "n", "n is not supported here: leave it out or give 1"),
        ({"n": True}, "unsupported_parameter", "n", "n is not supported"),
        ({"tools": [{"type": "function"}]}, "unsupported_parameter", "tools", "tools is not supported"),
        ({"response_format": {"type": "json_object"}}, "unsupported_parameter", "response_format", "not supported"),
        ({"logit_bias": {"5": 1}}, "unsupported_parameter", "logit_bias", "not supported"),
        ({"frequency_penalty": 0.5}, "unsupported_parameter", "frequency_penalty", "not supported"),
        ({"temprature": 1}, "unknown_parameter", "temprature", "unknown parameter: temprature"),
        ({"messages": [{"role": "user", "content": "x", "colour": 1}]}, "unknown_parameter", "messages.0.colour", "co"),
    ],
)  # fmt: skip
def test_wrong_parameters(address: str, change: dict[str, Any], code: str, param: str | None, says: str) -> None:
    error = refused(address, BODY | change)
    assert (error["code"], error["param"]) == (code, param)
    assert says in error["message"]


def test_parameters_that_change_nothing_are_taken(address: str) -> None:
    neutral = {
        "n": 1, "presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "tools": [], "user": "me",
        "response_format": {"type": "text"}, "metadata": {"a": "b"}, "store": False, "tool_choice": "none",
        "top_p": None, "stop": None, "stream_options": None, "seed": None, "service_tier": "auto",
    }  # fmt: skip
    found = httpx.post(f"{address}/v1/chat/completions", json=BODY | neutral)
    assert found.status_code == 200, found.text
    assert found.json()["choices"][0]["message"]["content"] == ANSWER


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"prompt": ["a", "b"]}, None, "2 prompts in one request"),
        ({"prompt": [5, 99999]}, "prompt", "no token 99999"),
        ({"prompt": [5, -1]}, "prompt", "no token -1"),
        ({"prompt": []}, "prompt", "the prompt is empty"),
        ({"prompt": {"a": 1}}, "prompt", "valid string"),
        ({"logprobs": 6}, "logprobs", "less than or equal to 5"),
        ({"echo": True}, "echo", "not supported"),
        ({"best_of": 3}, "best_of", "not supported"),
        ({"suffix": "end"}, "suffix", "not supported"),
    ],
)
def test_wrong_completions(address: str, change: dict[str, Any], param: str | None, says: str) -> None:
    error = refused(address, {"model": "small", "prompt": "The", **change}, path="completions")
    assert error["param"] == param and says in error["message"]


def test_a_lone_surrogate_does_no_harm(address: str) -> None:
    body = b'{"model": "small\\ud800", "messages": []}'
    assert refused(address, body)["param"] == "messages"
    body = b'{"model": "small\\ud800", "messages": [{"role": "user", "content": "\\udfff"}]}'
    assert refused(address, body, 404)["code"] == "model_not_found"
    body = b'{"model": "small", "max_tokens": 3, "messages": [{"role": "user", "content": "caf\\udce9?"}]}'
    found = httpx.post(f"{address}/v1/chat/completions", content=body, headers={"Content-Type": "application/json"})
    assert found.status_code == 200


def test_huge_prompts(address: str) -> None:
    huge = BODY | {"messages": [{"role": "user", "content": "why? " * 200_000}]}
    error = refused(address, huge)
    assert (error["code"], error["param"]) == ("context_length_exceeded", "messages")
    assert "at least" in error["message"] and "context has 128" in error["message"]
    error = refused(address, BODY | {"messages": [{"role": "user", "content": "why? " * 60}]})
    assert error["code"] == "context_length_exceeded"
    error = refused(address, huge | {"messages": [{"role": "user", "content": "x" * (1 << 20)}]}, 413)
    assert (error["code"], error["type"]) == ("too_large", "invalid_request_error")
    error = refused(address, {"model": "small", "prompt": [5] * 129}, path="completions")
    assert error["code"] == "context_length_exceeded" and "129 tokens" in error["message"]


def test_a_body_without_a_length_is_cut_off_too(address: str) -> None:
    sent = 0

    def parts() -> Iterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1 << 16
            yield b" " * (1 << 16)

    try:
        found = httpx.post(
            f"{address}/v1/chat/completions", content=parts(), headers={"Content-Type": "application/json"}
        )
        assert found.status_code == 413
    except (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError):
        pass  # the server has closed the connection while we were sending
    assert httpx.post(f"{address}/v1/chat/completions", json=BODY).status_code == 200


def test_a_body_that_does_not_come_is_given_up(session: ChatSession) -> None:
    head = "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with http_server.running(session, ServerSettings(body_seconds=0.3)) as address:
        where = urlsplit(address)
        with socket.create_connection((where.hostname, where.port), timeout=30) as slow:
            slow.sendall(head.encode() + b"Content-Length: 1000\r\n\r\n" + b'{"model": "sma')
            answer = b""
            while part := slow.recv(1 << 16):  # to the end: the connection is closed
                answer += part
        assert answer.startswith(b"HTTP/1.1 408") and b"the body was not there within 0.3 s" in answer
        assert httpx.post(f"{address}/v1/chat/completions", json=BODY, timeout=60).status_code == 200


def test_the_oldest_turns_go_where_that_is_asked_for(address: str) -> None:
    turns = [*BODY["messages"], {"role": "assistant", "content": ANSWER}] * 400
    long = BODY | {"messages": [{"role": "system", "content": "Be short."}, *turns, *BODY["messages"]]}
    assert refused(address, long)["code"] == "context_length_exceeded"
    found = httpx.post(f"{address}/v1/chat/completions", json=long | {"truncation": "auto"}, timeout=60)
    assert found.status_code == 200, found.text
    assert 0 < found.json()["usage"]["prompt_tokens"] <= 128
    one = {"messages": [{"role": "user", "content": "why? " * 60}], "truncation": "auto"}
    assert refused(address, BODY | one)["code"] == "context_length_exceeded"


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


@pytest.fixture
def locked(session: ChatSession) -> Iterator[str]:
    with http_server.running(session, ServerSettings(key_digest=digest_of("right"), hosts=("localhost",))) as found:
        yield found.replace("127.0.0.1", "localhost")


def test_the_api_key(locked: str) -> None:
    with openai.OpenAI(base_url=f"{locked}/v1", api_key="right", max_retries=0) as client:
        assert client.chat.completions.create(**BODY).choices[0].message.content == ANSWER
    for key in ("wrong", "Right", "right2", "é"):
        found = httpx.get(f"{locked}/v1/models", headers={"Authorization": f"Bearer {key}".encode()})
        assert (found.status_code, found.json()["error"]["code"]) == (401, "invalid_api_key")
    for headers in ({}, {"Authorization": "right"}, {"Authorization": "Basic right"}):
        found = httpx.post(f"{locked}/v1/chat/completions", json=BODY, headers=headers)
        assert (found.status_code, found.headers["WWW-Authenticate"]) == (401, "Bearer")
    for path in ("/", "/page.js", "/health"):
        assert httpx.get(f"{locked}{path}").status_code == 200


def test_other_names_and_other_sites_are_refused(locked: str) -> None:
    port = urlsplit(locked).port
    found = httpx.get(f"http://127.0.0.1:{port}/health", headers={"Host": "evil.example"})
    assert (found.status_code, found.json()["error"]["type"]) == (403, "permission_error")
    key = {"Authorization": "Bearer right"}
    plain = key | {"Content-Type": "text/plain"}
    found = httpx.post(f"{locked}/v1/chat/completions", content=json.dumps(BODY), headers=plain)
    assert found.status_code == 415
    answered = httpx.options(f"{locked}/v1/chat/completions", headers=key | {"Origin": "http://evil.example"})
    assert "access-control-allow-origin" not in answered.headers


def test_a_name_that_is_allowed(session: ChatSession) -> None:
    hosts = allowed_hosts("127.0.0.1", None, False, ["chat.example.org"])
    with http_server.running(session, ServerSettings(hosts=hosts)) as address:
        for name, status in (("Chat.Example.org", 200), ("chat.example.org:443", 200), ("example.org", 403)):
            assert httpx.get(f"{address}/health", headers={"Host": name}).status_code == status
        assert httpx.get(f"{address}/health").status_code == 200


def test_unknown_paths_and_methods(address: str) -> None:
    wrong = ("GET", "/v1/chat/completions", 405), ("POST", "/v1/embeddings", 404), ("GET", "/x", 404)
    for method, path, status in wrong:
        found = httpx.request(method, f"{address}{path}")
        assert (found.status_code, found.json()["error"]["code"]) == (status, "unknown_url")
