"""A real HTTP server on loopback, whose pages and log of requests the test sees, and a crawl in this process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.settings_data import CrawlSource
from crawl2chat.pipelines.sources.crawl.fetch import Fetcher
from crawl2chat.pipelines.sources.crawl.guard import system_lookup
from crawl2chat.pipelines.sources.crawl.messages import Orders, Report
from crawl2chat.pipelines.sources.crawl.schedule import Schedule
from crawl2chat.pipelines.sources.crawl.urls import canonical

Answer = tuple[int, dict[str, str], bytes]
HTML = {"Content-Type": "text/html; charset=utf-8"}


def page(*links: str, text: str = "") -> Answer:
    """An HTML page with these links."""
    return 200, HTML, f"<p>{text}</p>{''.join(f'<a href={link}>x</a>' for link in links)}".encode()


@dataclass
class WebServer:
    """`answers`: by path, an answer or a function of how often it was asked for. `log`: (path, arrived, answered)."""

    port: int
    answers: dict[str, Answer | Callable[[int], Answer]]
    log: list[tuple[str, float, float]] = field(default_factory=list)
    seconds: float = 0.0  # that every answer takes
    most_at_once: int = 0

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def asked(self, path: str) -> int:
        return sum(entry[0] == path for entry in self.log)


@pytest.fixture
def web() -> Iterator[WebServer]:
    lock, active = threading.Lock(), [0]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            began = time.monotonic()
            with lock:
                active[0] += 1
                site.most_at_once = max(site.most_at_once, active[0])
                times = site.asked(self.path)
                site.log.append((self.path, began, 0.0))
                place = len(site.log) - 1
            answer = site.answers.get(self.path, (404, HTML, b"no such page"))
            status, headers, body = answer(times) if callable(answer) else answer
            time.sleep(site.seconds)
            with lock:
                active[0] -= 1
                site.log[place] = (self.path, began, time.monotonic())
            self.send_response(status)
            length = {} if "Transfer-Encoding" in headers else {"Content-Length": str(len(body))}
            for name, value in {**length, **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site = WebServer(server.server_port, {})
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield site
    server.shutdown()
    server.server_close()


def source_of(*seeds: str, **settings: Any) -> CrawlSource:
    """A crawl source that is quick, on loopback."""
    quick = {"allow_private": True, "delay": 0, "retry_wait": 0.02, "page_timeout": 5}
    return CrawlSource(kind="crawl", name="t", seeds=list(seeds), **{**quick, **settings})


def crawl(source: CrawlSource, folder: Path, fetchers: int = 1, lookup: Any = system_lookup) -> Schedule:
    """A whole crawl: one schedule, several fetchers, all in one event loop. The frontier stays open for questions."""
    seeds = [str(canonical(seed)) for seed in source.seeds]
    schedule = Schedule(source, seeds, folder / "frontier.sqlite")

    async def work() -> None:
        def asking(name: str) -> Callable[[list[Report], int], Any]:
            async def ask(reports: list[Report], want: int) -> Orders:
                return schedule.exchange(name, reports, want)

            return ask

        made = [Fetcher(source, seeds, folder / "segments", 8, lookup=lookup) for _ in range(fetchers)]
        await asyncio.gather(*(fetcher.run(asking(str(n))) for n, fetcher in enumerate(made)))

    asyncio.run(asyncio.wait_for(work(), 60))
    return schedule


def ends(schedule: Schedule) -> dict[str, tuple[str, str]]:
    """State and reason of every URL by its path."""
    rows = schedule.frontier.db.execute("SELECT url, state, reason FROM urls")
    return {"/" + url.split("/", 3)[3]: (state, reason) for url, state, reason in rows}


@pytest.fixture
def tools() -> Any:
    """The functions above: test modules cannot import a conftest."""

    class Tools:
        page, source, crawl, ends, html = (
            staticmethod(page),
            staticmethod(source_of),
            staticmethod(crawl),
            staticmethod(ends),
            HTML,
        )

    return Tools
