"""The engine behind an event loop: pieces arrive, places are counted, callers may leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from crawl2chat.chat.engine import Engine
from crawl2chat.chat.engine_thread import EngineThread, QueueFull, Reply
from crawl2chat.chat.requests import Piece, Request
from crawl2chat.chat.session import ChatSession
from crawl2chat.core.errors import InputError, StageError
from crawl2chat.core.run import Run
from crawl2chat.model.batch_sampling import Sampling

from .conftest import ANSWER, QUESTION

GREEDY = Sampling(temperature=0)


@pytest.fixture
def session(run: Run, one_thread: None) -> ChatSession:
    return ChatSession.open(run)


@pytest.fixture
def worker(session: ChatSession) -> Iterator[EngineThread]:
    thread = EngineThread(Engine(session.model, session.tokenizer, slots=2), queue=3).start()
    yield thread
    thread.stop()


@pytest.fixture
def question(session: ChatSession) -> Request:
    ids = session.encode([{"role": "user", "content": QUESTION}])
    return Request(tuple(ids), 80, GREEDY, session.stop_ids)


@pytest.fixture
def endless(question: Request) -> Request:
    """Goes on to the end of the context: some hundred steps."""
    return Request(question.ids, 1000, Sampling(seed=1))


def submit(worker: EngineThread, request: Request) -> Reply:
    with worker.reserve() as place:
        return worker.submit(request, place)


def text(pieces: list[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


async def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.005)


def test_pieces_come_as_they_are_written(worker: EngineThread, question: Request) -> None:
    async def main() -> None:
        reply = submit(worker, question)
        pieces = [piece async for piece in reply]
        assert text(pieces) == ANSWER
        assert len(pieces) > 10
        assert [piece.finish for piece in pieces][-1] == "stop"
        assert worker.load.running == worker.load.waiting == 0

    asyncio.run(main())


def test_many_at_once_all_get_their_answer(worker: EngineThread, question: Request) -> None:
    async def one() -> str:
        reply = submit(worker, question)
        return text([piece async for piece in reply])

    async def main() -> None:
        assert await asyncio.gather(*(one() for _ in range(5))) == [ANSWER] * 5

    asyncio.run(main())


def test_no_more_than_slots_and_queue(worker: EngineThread, endless: Request) -> None:
    async def main() -> None:
        replies = [submit(worker, endless) for _ in range(5)]
        with pytest.raises(QueueFull) as caught:
            submit(worker, endless)
        assert caught.value.seconds > 0
        replies[4].close()
        replies.append(submit(worker, endless))
        for reply in (*replies[:4], replies[5]):
            assert [piece async for piece in reply][-1].finish == "length"
        assert worker.load.running == worker.load.waiting == 0

    asyncio.run(main())


def test_a_place_is_taken_before_the_request_is_there(worker: EngineThread, question: Request) -> None:
    """And given back when none comes of it."""

    async def main() -> None:
        with ExitStack() as making:
            places = [making.enter_context(worker.reserve()) for _ in range(5)]
            assert (worker.load.running, worker.load.waiting) == (0, 5)
            with pytest.raises(QueueFull):
                worker.reserve()
            reply = worker.submit(question, places[0])
            with pytest.raises(QueueFull):
                worker.reserve()
            assert text([piece async for piece in reply]) == ANSWER
            with worker.reserve():
                assert worker.load.waiting == 5
        assert worker.load.running == worker.load.waiting == 0
        with pytest.raises(ZeroDivisionError), worker.reserve():
            raise ZeroDivisionError
        assert worker.load.waiting == 0

    asyncio.run(main())


def test_a_caller_who_leaves_frees_the_slot(worker: EngineThread, endless: Request) -> None:
    async def main() -> None:
        replies = [submit(worker, endless) for _ in range(4)]
        async for _ in replies[0]:
            break
        for reply in replies:
            reply.close()
            reply.close()  # twice does no harm
        await until(lambda: worker.load.running == 0 and worker.load.waiting == 0)

    asyncio.run(main())


def test_a_prompt_too_long_takes_no_place(worker: EngineThread) -> None:
    async def main() -> None:
        for _ in range(9):
            with pytest.raises(InputError, match="the prompt has 129 tokens"):
                submit(worker, Request((5,) * 129, 1, GREEDY))
        assert worker.load.waiting == 0

    asyncio.run(main())


def test_a_step_that_fails_fails_its_requests_and_no_later_ones(
    worker: EngineThread, session: ChatSession, question: Request
) -> None:
    weight = session.model.blocks[0].feed_forward.down.weight
    broken, sound = weight.data[:, :-1], weight.data

    async def main() -> None:
        weight.data = broken
        pieces = [piece async for piece in submit(worker, question)]
        assert pieces[-1].error == "the model failed: RuntimeError", "clients get this: no shapes, no paths"
        weight.data = sound
        assert text([piece async for piece in submit(worker, question)]) == ANSWER

    asyncio.run(main())


def test_stopping_tells_those_who_wait(session: ChatSession, endless: Request) -> None:
    async def main() -> None:
        worker = EngineThread(Engine(session.model, session.tokenizer, slots=1), queue=3).start()
        replies = [submit(worker, endless) for _ in range(3)]
        worker.stop()
        ends = [[piece async for piece in reply][-1] for reply in replies]
        assert all(end.error is not None for end in ends[1:])
        with pytest.raises(StageError, match="stopped"):
            submit(worker, endless)
        assert not worker.alive

    asyncio.run(main())
