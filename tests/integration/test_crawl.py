"""The stage `crawl` on Ray: two workers, a killed fetcher, a killed driver, the pydoc site, a crawl without a page."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.manifest import Manifest
from crawl2chat.core.progress import Progress
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.run import Run
from crawl2chat.core.stage import StageContext, StageResult
from crawl2chat.pipelines.sources.crawl.crawl_stage import CRAWL
from fastwarc.warc import ArchiveIterator, WarcRecordType

pytestmark = pytest.mark.ray
PAGES = 150


class Site:
    """`PAGES` pages that link to each other, answered after `seconds`; `log` holds (path, arrived, answered)."""

    def __init__(self) -> None:
        self.log: list[tuple[str, float, float]] = []
        self.seconds = 0.0
        log, site = self.log, self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                began = time.monotonic()
                time.sleep(site.seconds)
                number = int(self.path[1:] or 0) if self.path[1:].isdigit() or self.path == "/" else PAGES
                links = "".join(f"<a href=/{n}>x</a>" for n in (2 * number + 1, 2 * number + 2))
                body = f"<p>page {number}</p>{links}".encode()
                log.append((self.path, began, time.monotonic()))
                self.send_response(200 if number < PAGES else 404)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.server.shutdown()
    made.server.server_close()


def recipe_of(folder: Path, name: str, **source: Any) -> Recipe:
    quick = {"kind": "crawl", "name": "web", "allow_private": True, "delay": 0, "per_host": 4, "retry_wait": 0.05}
    return Recipe.model_validate(
        {"name": name, "storage": str(folder), "sources": [{**quick, **source}], "instructions": None}
    )


def crawl(recipe: Recipe) -> StageResult:
    run = Run(recipe)
    inputs: dict[str, Manifest] = {}
    with Progress("crawl") as progress:
        return CRAWL.work(StageContext(run, run.stage("crawl"), inputs, progress))


def stored(recipe: Recipe) -> dict[str, list[tuple[str, str]]]:
    """URL and hash of the body of every page, by file, in the file's order."""
    found = {}
    for path in sorted((Run(recipe).stage("crawl") / "web" / "warc").iterdir()):
        with path.open("rb") as handle:
            found[path.name] = [
                (record.headers["WARC-Target-URI"], hashlib.sha256(record.reader.read()).hexdigest())
                for record in ArchiveIterator(handle, record_types=WarcRecordType.response, verify_digests=True)
            ]
    return found


def holder_of(folder: Path) -> int:
    """A process that has a file below the folder open: a fetcher of ours, and of no other Ray on this machine."""
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with suppress(OSError):
            if link.readlink().is_relative_to(folder):
                return int(link.parts[2])
    raise AssertionError(f"nobody has a file in {folder} open")


def test_politeness_holds_across_two_actors(local_ray: None, site: Site, tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path, "polite", seeds=[site.url], delay=0.1, workers=2, max_pages=12)
    result = crawl(recipe)
    assert result.counters["pages"] == 12
    gaps = [after[1] - before[2] for before, after in pairwise(site.log)]
    assert len(gaps) == 12 and min(gaps) >= 0.1
    assert not list((Run(recipe).stage("crawl") / "web").glob("frontier*"))


def test_a_killed_fetcher_is_replaced(local_ray: None, site: Site, tmp_path: Path) -> None:
    """SIGKILL to a fetcher's process in mid-crawl: its jobs are done again, and nothing is missing or there twice."""
    site.seconds = 0.05
    killed = []

    def kill_one() -> None:
        while len(site.log) < 30:
            time.sleep(0.02)
        killed.append(holder_of(tmp_path / "killed" / "crawl" / "web" / "segments"))
        os.kill(killed[0], signal.SIGKILL)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    recipe = recipe_of(tmp_path, "killed", seeds=[site.url], workers=2)
    result = crawl(recipe)
    killer.join()
    assert killed and result.counters["pages"] == PAGES
    urls = [url for pages in stored(recipe).values() for url, _ in pages]
    assert len(urls) == len(set(urls)) == PAGES


DRIVER = """
import sys
from pathlib import Path
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.run import Run
from crawl2chat.core.session import ray_session
from crawl2chat.core.runner import bring_up_to_date
from crawl2chat.pipelines.sources.crawl.crawl_stage import CRAWL
run = Run(load_recipe(sys.argv[1]))
with run.lock():
    list(bring_up_to_date([CRAWL], run, lambda: ray_session(run.recipe.resources, run.folder / "logs")))
"""


@pytest.mark.slow
def test_a_killed_driver_continues_to_the_same_pages(local_ray: None, site: Site, tmp_path: Path) -> None:
    """SIGKILL to the crawling command in mid-crawl, then the same command: the same files, URL by URL, body by body."""
    limits = {"seeds": [site.url], "max_pages": 100, "workers": 2}
    undisturbed = recipe_of(tmp_path, "undisturbed", **limits)
    crawl(undisturbed)
    site.log.clear()
    site.seconds = 0.1
    killed = recipe_of(tmp_path, "killed", **limits)
    path = tmp_path / "killed.yaml"
    path.write_text(killed.to_yaml(), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, "-c", DRIVER, str(path)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    began = time.monotonic()
    while len(site.log) < 40:
        assert process.poll() is None and time.monotonic() - began < 120
        time.sleep(0.02)
    process.kill()
    process.wait()
    folder = Run(killed).stage("crawl")
    assert (folder / "web" / "frontier.sqlite").exists() and not (folder / "manifest.json").exists()
    before = len(site.log)
    subprocess.run(command, env=environment, check=True, capture_output=True, timeout=180)
    assert stored(killed) == stored(undisturbed)
    assert len(site.log) - before < 90  # it went on, it did not begin again


def test_the_pydoc_site(local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's source, cut short: its URLs name no port, its pages hold none of our environment."""
    monkeypatch.setenv("PLANTED_SECRET", "xyzzy-1234")
    recipe = recipe_of(tmp_path, "pydoc", site="pydoc", include=["/os.html", "topic.key=[A-D]"], max_depth=1)
    result = crawl(recipe)
    urls = [url for pages in stored(recipe).values() for url, _ in pages]
    assert "http://pydoc.localhost/os.html" in urls and "http://pydoc.localhost/topic?key=CLASSES" in urls
    assert result.counters["refused.not_included"] > 500 and result.counters["robots_files"] == 1
    text = b"".join(
        record.reader.read()
        for path in (Run(recipe).stage("crawl") / "web" / "warc").iterdir()
        for record in ArchiveIterator(path.open("rb"), record_types=WarcRecordType.response)
    )
    assert b"xyzzy-1234" not in text and b"&nbsp;routines&nbsp;for&nbsp;NT" in text


def test_a_crawl_that_gets_nothing_says_why(local_ray: None, site: Site, tmp_path: Path) -> None:
    refused = recipe_of(tmp_path, "refused", seeds=[site.url], allow_private=False, respect_robots=False)
    with pytest.raises(StageError, match=r"127\.0\.0\.1:\d+/: address \(127\.0\.0\.1 is loopback\)") as caught:
        crawl(refused)
    assert "allow_private" in caught.value.fix and site.log == []
    absent = recipe_of(tmp_path, "absent", seeds=[site.url + "none"])
    with pytest.raises(StageError, match="/none: http_404"):
        crawl(absent)
    assert list((Run(absent).stage("crawl") / "web").iterdir()) == []  # the next attempt asks again
