"""Who may ask, and by which name: the API key, the host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import openai
import pytest
from crawl2chat.chat.session import ChatSession
from crawl2chat.serve.launch import allowed_hosts, digest_of
from crawl2chat.serve.settings import ServerSettings

from .conftest import ANSWER, BODY, http_server


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
