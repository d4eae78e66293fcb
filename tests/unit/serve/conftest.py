"""One server for all tests of the folder, with the small model that has learned an answer by heart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from crawl2chat.chat.session import ChatSession
from crawl2chat.core.run import Run

from ...conftest import ROOT, loaded
from ..chat.conftest import ANSWER, QUESTION, TEXT, one_thread, trained

__all__ = ["ANSWER", "QUESTION", "TEXT", "one_thread", "trained"]

http_server: Any = loaded(ROOT / "tests" / "http_server.py")
BODY: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": QUESTION}], "temperature": 0}


@pytest.fixture(scope="session")
def session(trained: Path) -> ChatSession:
    return ChatSession.open(Run.open(trained))


@pytest.fixture(scope="session")
def address(session: ChatSession) -> Iterator[str]:
    with http_server.running(session) as found:
        yield found


@pytest.fixture(scope="session")
def endless(trained: Path) -> Iterator[str]:
    """A server whose model writes for many seconds, in two slots."""
    from crawl2chat.serve.settings import ServerSettings

    session = http_server.endless_session(trained / "tokenizer" / "tokenizer.json")
    with http_server.running(session, ServerSettings(slots=2, queue=4), "endless") as found:
        yield found


@pytest.fixture(scope="session")
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as found:
        yield found
