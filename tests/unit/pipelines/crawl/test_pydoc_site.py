from __future__ import annotations

import http.client
import random
import subprocess
import sys
import textwrap
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.pipelines.sources.crawl import served as site_module
from crawl2chat.pipelines.sources.crawl.served import Site, serve_pydoc

# Pages that show state, addresses, environment, or lists of subclasses; prose; a package.
PATHS = ["os.html", "sys.html", "site.html", "warnings.html", "logging.html", "threading.html", "smtplib.html"]
PATHS += ["difflib.html", "collections.abc.html", "topic?key=CLASSES", "index.html", "networkx.html", "gc.html"]


def get(site: Site, path: str) -> bytes:
    port = site.connect_to["pydoc.localhost"][1]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as response:
        return response.read()


def test_pages_are_the_same_in_every_run_and_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED_SECRET", "xyzzy-1234")
    with serve_pydoc() as site:
        first = {path: get(site, path) for path in PATHS}
        index = first["index.html"].decode()
        assert index.count("<li>") > 600 and 'href="search?key=' in index
        assert not any(f'href="{name}.html"' in index for name in ("antigravity", "this", "idlelib", "test", "turtle"))
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(site, "antigravity.html")
        assert b"Disallow: /*?key=" in get(site, "robots.txt")
    with serve_pydoc() as site:
        second = {path: get(site, path) for path in random.Random(1).sample(PATHS, len(PATHS))}
    assert [path for path in PATHS if first[path] != second[path]] == []
    assert b"xyzzy-1234" not in b"".join(first.values()) and b"0x7f" not in b"".join(first.values())


def test_the_site_dies_with_its_parent(tmp_path: Path) -> None:
    parent = textwrap.dedent("""
        from crawl2chat.pipelines.sources.crawl.served import serve_pydoc
        with serve_pydoc() as site:
            print(site.connect_to["pydoc.localhost"][1], flush=True)
            input()
    """)
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path
    )
    assert process.stdout
    site = Site([], {"pydoc.localhost": ("127.0.0.1", int(process.stdout.readline()))})
    assert get(site, "robots.txt")
    process.kill()
    process.communicate()
    for _ in range(100):
        try:
            get(site, "robots.txt")
        except (OSError, http.client.HTTPException):  # refused, reset, or ended within an answer
            return
        time.sleep(0.05)
    pytest.fail("the site outlived its parent")


def test_a_site_that_cannot_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_module, "_ENVIRONMENT", {"PYTHONHASHSEED": "never"})
    with pytest.raises(StageError, match="PYTHONHASHSEED"), serve_pydoc():
        pass
