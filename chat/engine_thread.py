"""The engine in a thread of its own, for callers in an event loop: an asynchronous iterator of pieces for each request.

The model's work leaves the event loop free to take requests and to send what is there. All that comes out of a step is
handed over at once. Only so many requests are taken as there are slots and places in the queue: a caller `reserve`s a
place before it does any work for the prompt, and `submit`s the request with it. A request whose caller does not want
more loses its slot at the engine's next step.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ..core.errors import StageError
from ..core.log import log
from .engine import Engine, Pieces
from .generation import Generation
from .requests import Piece, Request

STOPPED = "the server has stopped"


class QueueFull(Exception):
    """No place for another request; `seconds` is a guess of when there will be one."""

    def __init__(self, seconds: float) -> None:
        super().__init__("the queue is full")
        self.seconds = seconds


@dataclass(frozen=True)
class Load:
    slots: int
    running: int
    waiting: int  # in the queue, or with a place while their prompts are made


class Reply:
    """The pieces of a text as they are written; the last one has `finish` or `error`. `close` it, whatever happens."""

    def __init__(self, generation: Generation, close: Callable[[Reply], None]) -> None:
        self.generation, self._close = generation, close
        self.began = time.monotonic()
        self.loop = asyncio.get_running_loop()
        self.pieces: asyncio.Queue[Piece] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[Piece]:
        while True:
            piece = await self.pieces.get()
            yield piece
            if piece.last:
                return

    def close(self) -> None:
        """Not wanted any more; nothing happens when all has been written."""
        self._close(self)


class Place:
    """A place for a request that is still being made; given back at the block's end, unless `submit` has taken it."""

    def __init__(self, give_back: Callable[[Place], None]) -> None:
        self._give_back = give_back

    def __enter__(self) -> Place:
        return self

    def __exit__(self, *error: object) -> None:
        self._give_back(self)


class EngineThread:
    def __init__(self, engine: Engine, queue: int) -> None:
        """`queue`: requests that may wait beside those that have a slot."""
        self._engine, self._most = engine, engine.slots + queue
        self._change = threading.Condition()  # guards all below; the engine itself is the thread's
        self._places: set[Place] = set()  # reserved, without a request yet
        self._replies: dict[Generation, Reply] = {}  # that are not all written
        self._added: deque[Generation] = deque()
        self._unwanted: list[Generation] = []
        self._seconds = 1.0  # that a request takes, smoothed
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> EngineThread:
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread; requests on their way get an error."""
        with self._change:
            self._stopping = True
            self._change.notify()
        if self._thread.is_alive():
            self._thread.join(timeout=30)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def load(self) -> Load:
        with self._change:
            running = self._engine.running
            return Load(self._engine.slots, running, max(self._taken - running, 0))

    @property
    def _taken(self) -> int:
        return len(self._places) + len(self._replies)

    def reserve(self) -> Place:
        """A place for a request, for a `with` block in which it is made and submitted.

        Raises QueueFull, and StageError when the thread has ended.
        """
        place = Place(self._give_back)
        with self._change:
            self._check_running()
            if self._taken >= self._most:
                raise QueueFull(self._seconds * self._most / self._engine.slots / 2)
            self._places.add(place)
        return place

    def submit(self, request: Request, place: Place) -> Reply:
        """Queue a request of the running event loop.

        Raises InputError when the prompt is longer than the context, StageError when the thread has ended.
        """
        reply = Reply(self._engine.prepare(request), self._forget)
        with self._change:
            self._check_running()
            self._places.remove(place)
            self._replies[reply.generation] = reply
            self._added.append(reply.generation)
            self._change.notify()
        return reply

    def _check_running(self) -> None:
        if self._stopping or not self.alive:
            raise StageError(STOPPED, "start it again")

    def _give_back(self, place: Place) -> None:
        with self._change:
            self._places.discard(place)

    def _forget(self, reply: Reply) -> None:
        with self._change:
            if self._replies.pop(reply.generation, None) is None:
                return
            if reply.generation in self._added:
                self._added.remove(reply.generation)
            else:
                self._unwanted.append(reply.generation)
            self._change.notify()

    def _run(self) -> None:
        while True:
            with self._change:
                while not (self._added or self._unwanted or self._engine.busy or self._stopping):
                    self._change.wait()
                while self._added:
                    self._engine.add(self._added.popleft())
                while self._unwanted:
                    self._engine.cancel(self._unwanted.pop())
                if self._stopping:
                    break
            try:
                pieces = self._engine.step()
            except Exception as error:
                log.exception("a step of the engine failed")
                pieces = self._engine.fail(f"the model failed: {type(error).__name__}")
            self._hand_over(pieces)
        self._hand_over(self._engine.fail(STOPPED))

    def _hand_over(self, pieces: Pieces) -> None:
        by_loop: dict[asyncio.AbstractEventLoop, list[tuple[Reply, Piece]]] = {}
        with self._change:
            for generation, piece in pieces:
                reply = self._replies.get(generation)
                if reply is None:
                    continue
                by_loop.setdefault(reply.loop, []).append((reply, piece))
                if piece.last:
                    del self._replies[generation]
                    self._seconds += (time.monotonic() - reply.began - self._seconds) / 8
        for loop, given in by_loop.items():
            with suppress(RuntimeError):  # a loop that has been closed: nobody listens any more
                loop.call_soon_threadsafe(_put, given)


def _put(given: list[tuple[Reply, Any]]) -> None:
    for reply, piece in given:
        reply.pieces.put_nowait(piece)
