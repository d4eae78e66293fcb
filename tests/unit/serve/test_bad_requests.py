"""What is wrong with a request is told by name, in OpenAI's form, with the right status; and the server goes on."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from crawl2chat.chat.session import ChatSession
from crawl2chat.serve.settings import ServerSettings

from .conftest import ANSWER, BODY, http_server


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


def test_unknown_paths_and_methods(address: str) -> None:
    wrong = ("GET", "/v1/chat/completions", 405), ("POST", "/v1/embeddings", 404), ("GET", "/x", 404)
    for method, path, status in wrong:
        found = httpx.request(method, f"{address}{path}")
        assert (found.status_code, found.json()["error"]["code"]) == (status, "unknown_url")
