"""The server as the real client of OpenAI's sees it."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import openai
import pytest

from .conftest import ANSWER, QUESTION, TEXT

ASKED: list[Any] = [{"role": "user", "content": QUESTION}]
DRAWN: dict[str, Any] = {"model": "small", "messages": ASKED, "temperature": 2.0, "top_p": 1.0, "max_tokens": 40}


def streamed(client: openai.OpenAI, **given: Any) -> tuple[str, list[Any]]:
    """Text and chunks of a streamed answer."""
    chunks = list(client.chat.completions.create(stream=True, **given))
    return "".join(one.choices[0].delta.content or "" for one in chunks if one.choices), chunks


def test_a_chat_completion(client: openai.OpenAI) -> None:
    found = client.chat.completions.create(model="small", messages=ASKED, temperature=0)
    [choice] = found.choices
    assert choice.message.content == ANSWER
    assert (choice.message.role, choice.finish_reason, choice.logprobs) == ("assistant", "stop", None)
    assert (found.object, found.model) == ("chat.completion", "small")
    assert found.usage is not None
    assert found.usage.total_tokens == found.usage.prompt_tokens + found.usage.completion_tokens
    assert found.usage.completion_tokens > 10


def test_streamed_it_says_the_same(client: openai.OpenAI) -> None:
    text, chunks = streamed(client, model="small", messages=ASKED, temperature=0)
    assert text == ANSWER
    assert len(chunks) > 10
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert len({one.id for one in chunks}) == 1
    for seed in range(4):
        whole = client.chat.completions.create(seed=seed, **DRAWN).choices[0]
        text, chunks = streamed(client, seed=seed, **DRAWN)
        assert text == whole.message.content
        assert chunks[-1].choices[0].finish_reason == whole.finish_reason


def test_usage_comes_with_the_stream_where_it_is_wanted(client: openai.OpenAI) -> None:
    whole = client.chat.completions.create(model="small", messages=ASKED, temperature=0)
    _, chunks = streamed(client, model="small", messages=ASKED, temperature=0, stream_options={"include_usage": True})
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(one.usage is None for one in chunks[:-1])


def test_seeds(client: openai.OpenAI) -> None:
    said = [client.chat.completions.create(seed=seed, **DRAWN).choices[0].message.content for seed in (1, 1, 2, 3)]
    assert said[0] == said[1]
    assert len(set(said)) == 3
    free = {client.chat.completions.create(**DRAWN).choices[0].message.content for _ in range(4)}
    assert len(free) > 1


@pytest.mark.parametrize("stop", ["sour", ["never", "très”"], ["漢字", "and"], "字 and 🙂", ["."]])
def test_stop_strings(client: openai.OpenAI, stop: Any) -> None:
    first = min(place for one in ([stop] if isinstance(stop, str) else stop) if (place := ANSWER.find(one)) >= 0)
    given = {"model": "small", "messages": ASKED, "temperature": 0, "stop": stop}
    [choice] = client.chat.completions.create(**given).choices
    assert (choice.message.content, choice.finish_reason) == (ANSWER[:first], "stop")
    text, chunks = streamed(client, **given)
    assert (text, chunks[-1].choices[0].finish_reason) == (ANSWER[:first], "stop")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_longest_length(client: openai.OpenAI, name: str) -> None:
    found = client.chat.completions.create(model="small", messages=ASKED, temperature=0, **{name: 5})
    assert found.usage is not None and found.usage.completion_tokens == 5
    assert found.choices[0].finish_reason == "length"
    text = found.choices[0].message.content
    assert text and ANSWER.startswith(text)


def test_log_probabilities(client: openai.OpenAI) -> None:
    given = {"model": "small", "messages": ASKED, "temperature": 0, "logprobs": True, "top_logprobs": 3}
    whole = client.chat.completions.create(**given)
    logprobs = whole.choices[0].logprobs
    assert logprobs is not None and logprobs.content is not None and whole.usage is not None
    assert len(logprobs.content) == whole.usage.completion_tokens
    assert b"".join(bytes(one.bytes or []) for one in logprobs.content).decode() == ANSWER
    for one in logprobs.content:
        assert len(one.top_logprobs) == 3
        assert one.logprob == one.top_logprobs[0].logprob <= 0  # the likeliest was taken
        assert sum(math.exp(other.logprob) for other in one.top_logprobs) <= 1.0001
    _, chunks = streamed(client, **given)
    content = [token for one in chunks if one.choices[0].logprobs for token in one.choices[0].logprobs.content]
    assert [one.bytes for one in content] == [one.bytes for one in logprobs.content]
    assert [one.logprob for one in content] == pytest.approx([one.logprob for one in logprobs.content], abs=1e-4)


def test_messages_in_parts_and_of_the_system(client: openai.OpenAI) -> None:
    plain = client.chat.completions.create(
        model="small", temperature=0, messages=[{"role": "user", "content": f"Be short.\n\n{QUESTION}"}]
    )
    parts: Any = [{"type": "text", "text": QUESTION[:4]}, {"type": "text", "text": QUESTION[4:]}]
    for role in ("system", "developer"):
        messages: Any = [{"role": role, "content": "Be short."}, {"role": "user", "content": parts}]
        found = client.chat.completions.create(model="small", temperature=0, messages=messages)
        assert found.choices[0].message.content == plain.choices[0].message.content
        assert found.usage == plain.usage


def test_completions(client: openai.OpenAI) -> None:
    """By the fine-tuned model here; what counts is that the text goes on from the prompt's tokens."""
    given: Any = {"model": "small", "prompt": TEXT[:14], "temperature": 0, "max_tokens": 6}
    whole = client.completions.create(**given)
    assert (whole.object, whole.choices[0].finish_reason) == ("text_completion", "length")
    assert whole.usage is not None and whole.usage.completion_tokens == 6
    chunks = list(client.completions.create(stream=True, **given))
    assert "".join(one.choices[0].text for one in chunks) == whole.choices[0].text
    assert client.completions.create(**given | {"prompt": [TEXT[:14]]}).choices[0].text == whole.choices[0].text
    assert len(client.completions.create(**given | {"max_tokens": openai.omit}).choices[0].text) > 0


def test_completions_of_tokens_with_log_probabilities(client: openai.OpenAI, session: Any) -> None:
    ids = session.begin(TEXT[:14])
    given: Any = {"model": "small", "temperature": 0, "max_tokens": 6, "logprobs": 2}
    found = client.completions.create(prompt=ids, **given).choices[0]
    assert found.text == client.completions.create(prompt=TEXT[:14], **given).choices[0].text
    assert found.logprobs is not None
    assert found.logprobs.tokens is not None and found.logprobs.token_logprobs is not None
    assert len(found.logprobs.tokens) == len(found.logprobs.token_logprobs) == 6
    assert found.logprobs.text_offset is not None and found.logprobs.text_offset[0] == 0
    assert all(len(one) <= 2 for one in found.logprobs.top_logprobs or [])


def test_models(client: openai.OpenAI) -> None:
    [model] = client.models.list().data
    assert (model.id, model.owned_by) == ("small", "crawl2chat")
    assert client.models.retrieve("small") == model
    for ask in (lambda: client.models.retrieve("gpt-4"),
                lambda: client.chat.completions.create(model="gpt-4", messages=ASKED)):  # fmt: skip
        with pytest.raises(openai.NotFoundError, match="no model 'gpt-4' here: it is 'small'"):
            ask()


def test_two_hundred_clients_at_once(address: str) -> None:
    """Each gets its whole answer, or is told to come again: none is lost, and no answer is cut or mixed up."""

    async def ask(client: openai.AsyncOpenAI, number: int) -> str | float:
        try:
            if number % 2:
                found = await client.chat.completions.create(model="small", messages=ASKED, temperature=0)
                return found.choices[0].message.content or ""
            stream = await client.chat.completions.create(model="small", messages=ASKED, temperature=0, stream=True)
            return "".join([one.choices[0].delta.content or "" async for one in stream])
        except openai.RateLimitError as error:
            assert error.code == "queue_full"
            return float(error.response.headers["Retry-After"])

    async def main() -> list[str | float]:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0, timeout=120) as client:
            return await asyncio.gather(*(ask(client, number) for number in range(200)))

    found = asyncio.run(main())
    answers = [one for one in found if isinstance(one, str)]
    waits = [one for one in found if isinstance(one, float)]
    assert set(answers) == {ANSWER}
    assert len(answers) + len(waits) == 200
    assert len(answers) >= 8 + 64  # slots and queue
    assert waits, "all were answered: ask with more clients"
    assert all(one >= 1 for one in waits)
