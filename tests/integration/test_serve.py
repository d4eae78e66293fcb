"""The server on Ray Serve, by the command and within a test's Ray."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import openai
import pytest

from ..conftest import ROOT, loaded
from ..unit.chat.conftest import ANSWER, QUESTION, one_thread, trained

if TYPE_CHECKING:
    from .conftest import Workshop

__all__ = ["one_thread", "trained"]
pytestmark = [pytest.mark.ray, pytest.mark.slow]
ASKED: list[Any] = [{"role": "user", "content": QUESTION}]
until_idle: Any = loaded(ROOT / "tests" / "http_server.py").until_idle


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def endless(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in Hugging Face's form of a model that writes for seconds at temperature 0."""
    import shutil

    from crawl2chat.core.files import write_json
    from crawl2chat.model.huggingface import write_model
    from crawl2chat.tokenize.hf_files import tokenizer_config

    folder = tmp_path_factory.mktemp("models") / "endless"
    folder.mkdir()
    session = loaded(ROOT / "tests" / "http_server.py").endless_session(trained / "tokenizer" / "tokenizer.json")
    write_model(folder, session.model, 0, [0])
    shutil.copyfile(trained / "tokenizer" / "tokenizer.json", folder / "tokenizer.json")
    write_json(folder / "tokenizer_config.json", tokenizer_config(session.context, chat=True))
    return folder


def served(source: Any, settings: Any) -> Iterator[str]:
    from crawl2chat.serve.deployment import served

    port = free_port()
    with served(source, settings, "127.0.0.1", port):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def address(local_ray: None, trained: Path) -> Iterator[str]:
    from crawl2chat.serve.settings import ServerSettings, Source

    yield from served(Source(run=str(trained)), ServerSettings(slots=4, queue=8))


def test_the_openai_client_is_answered(address: str) -> None:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        name = client.models.list().data[0].id
        given: dict[str, Any] = {"model": name, "messages": ASKED, "temperature": 0}
        assert client.chat.completions.create(**given).choices[0].message.content == ANSWER
        chunks = list(client.chat.completions.create(stream=True, **given))
        assert "".join(one.choices[0].delta.content or "" for one in chunks) == ANSWER
        assert len(chunks) > 5
        with pytest.raises(openai.BadRequestError, match="n is not supported"):
            client.chat.completions.create(**given, n=2)
    assert httpx.get(address).headers["content-security-policy"].startswith("default-src 'none'")


def test_two_hundred_clients_at_once(address: str) -> None:
    """Four are answered at a time and eight wait: each gets its whole answer, streamed or not, or is told when to come
    again."""
    name = httpx.get(f"{address}/v1/models").json()["data"][0]["id"]
    given: dict[str, Any] = {"model": name, "messages": ASKED, "temperature": 0}

    async def ask(client: openai.AsyncOpenAI, number: int) -> tuple[int, str, int]:
        """Status; the answer and its tokens, or nothing and the seconds to wait."""
        try:
            if number % 2:
                whole = await client.chat.completions.create(**given)
                assert whole.usage is not None and whole.choices[0].finish_reason == "stop"
                return 200, whole.choices[0].message.content or "", whole.usage.completion_tokens
            stream = await client.chat.completions.create(**given, stream=True, stream_options={"include_usage": True})
            chunks = [one async for one in stream]
            assert chunks[-1].usage is not None and chunks[-2].choices[0].finish_reason == "stop"
            text = "".join(choice.delta.content or "" for one in chunks for choice in one.choices)
            return 200, text, chunks[-1].usage.completion_tokens
        except openai.RateLimitError as error:
            return 429, "", int(error.response.headers["Retry-After"])

    async def main() -> list[tuple[int, str, int]]:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=300) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(200)))

    found = asyncio.run(main())
    answered = [one for one in found if one[0] == 200]
    assert len(answered) >= 12 and len({(text, tokens) for _, text, tokens in answered}) == 1
    assert answered[0][1] == ANSWER and answered[0][2] > 10
    waits = [seconds for status, _, seconds in found if status == 429]
    assert waits and min(waits) >= 1, "nobody was told to come again: ask with more clients"
    assert len(answered) + len(waits) == 200
    until_idle(address)


def test_a_body_that_is_too_large(address: str) -> None:
    """Serve's proxy reads ahead, whatever its size; what is refused behind it is refused with its status."""
    url, headers = f"{address}/v1/chat/completions", {"Content-Type": "application/json"}
    content = json.dumps({"model": "x", "messages": [{"role": "user", "content": "x" * (3 << 20)}]}).encode()
    found = httpx.post(url, content=content, headers=headers, timeout=60)
    assert (found.status_code, found.json()["error"]["code"]) == (413, "too_large")
    parts = (content[start : start + (1 << 16)] for start in range(0, len(content), 1 << 16))
    closed = (httpx.WriteError, httpx.ReadError, httpx.RemoteProtocolError)  # while we were sending
    with suppress(*closed):
        assert httpx.post(url, content=parts, headers=headers, timeout=60).status_code == 413, "without a length"
    assert httpx.get(f"{address}/health").json()["running"] == 0


def test_serve_that_runs_already_is_not_touched(address: str, trained: Path) -> None:
    from crawl2chat.core.errors import InputError
    from crawl2chat.serve.settings import ServerSettings, Source

    with pytest.raises(InputError, match="Ray Serve runs on this Ray already"):
        next(served(Source(run=str(trained)), ServerSettings()))
    assert httpx.get(f"{address}/health").status_code == 200


def test_the_command_serves_until_it_is_interrupted(
    finished: Workshop, documented_commands: dict[str, list[str]]
) -> None:
    """Each documented command, on a port of its own."""
    commands = [shlex.split(one)[1:] for page in documented_commands.values() for one in page if " serve " in one]
    assert commands
    for arguments in dict.fromkeys(map(tuple, commands)):
        with command(finished, *arguments) as (address, model):
            content = _streamed(address, model)
        assert content[0]["choices"][0]["delta"]["role"] == "assistant"


def test_answers_on_their_way_end_with_an_error(workshop: Workshop, endless: Path) -> None:
    """Ctrl-C while a model writes without end: streamed or not, its clients are told."""
    with ThreadPoolExecutor(2) as threads:
        with command(workshop, "serve", "--model", str(endless), "--slots", "2") as (address, model):
            assert len(_streamed(address, model, most=9)) == 9
            until_idle(address, seconds=15)  # the stream was left in the middle
            streamed = threads.submit(_streamed, address, model)
            body = {"model": model, "messages": ASKED, "temperature": 0}
            whole = threads.submit(httpx.post, f"{address}/v1/chat/completions", json=body, timeout=120)
            deadline = time.monotonic() + 30
            while httpx.get(f"{address}/health").json()["running"] < 2:
                assert time.monotonic() < deadline
        events = streamed.result(timeout=60)
        assert len(events) > 1 and "the server has stopped" in events[-1]["error"]["message"]
        assert whole.result(timeout=60).status_code == 503
        assert whole.result().json()["error"]["code"] == "stopped"


@pytest.mark.parametrize("seconds", [0.0, 2.5])
def test_ctrl_c_while_things_start(workshop: Workshop, endless: Path, seconds: float) -> None:
    """Behind the start of Ray: in the import of Serve, or while its proxy or the replica start."""
    process = workshop.start("serve", "-v", "--model", str(endless), "--port", str(free_port()))
    output = _read(process, "Ray ")
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    output += process.stdout.read() if process.stdout else ""
    assert process.wait(timeout=60) == 0, output
    assert "ending" in output and "Traceback" not in output


@contextmanager
def command(workshop: Workshop, *arguments: str) -> Iterator[tuple[str, str]]:
    """A server by the command: its address, and the model's name. Ctrl-C ends it, in order, when the block ends."""
    port = free_port()
    process = workshop.start(*arguments, "--port", str(port))
    address = f"http://127.0.0.1:{port}"
    output = _read(process, "Ctrl-C ends it.")
    try:
        yield address, httpx.get(f"{address}/health").json()["model"]
    finally:
        process.send_signal(signal.SIGINT)
        output += process.stdout.read() if process.stdout else ""
    assert process.wait(timeout=60) == 0, output
    assert address in output and "Traceback" not in output


def _read(process: subprocess.Popen[str], until: str) -> str:
    """What a process writes up to the line that holds a text."""
    output = ""
    while until not in output:
        line = process.stdout.readline() if process.stdout else ""
        assert line, output
        output += line
    return output


def _streamed(address: str, model: str, most: int = 100_000) -> list[dict[str, Any]]:
    """The first events of a streamed answer; all of it unless they are too many."""
    body = {"model": model, "messages": ASKED, "stream": True, "temperature": 0}
    found = []
    with httpx.stream("POST", f"{address}/v1/chat/completions", json=body, timeout=60) as stream:
        assert stream.status_code == 200, stream.read()
        for line in stream.iter_lines():
            if line.startswith("data: {"):
                found.append(json.loads(line.removeprefix("data: ")))
            if len(found) == most:
                break
    return found
