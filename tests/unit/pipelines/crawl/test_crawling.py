"""Whole crawls of a real server on loopback, schedule and fetchers in this process."""

from __future__ import annotations

import gzip
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest


def test_rules_of_robots_and_pages_are_kept(web: Any, tools: Any, tmp_path: Path) -> None:
    web.answers |= {
        "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /private\n"),
        "/": tools.page("/a", "/private/x", "/b rel=nofollow", "/gone", "http://elsewhere.example/"),
        "/a": (200, tools.html, b"<meta name=robots content=nofollow><a href=/c>x</a>"),
        "/b": tools.page(),
        "/c": tools.page(),
    }
    schedule = tools.crawl(tools.source(web.url()), tmp_path)
    ends = tools.ends(schedule)
    assert ends["/a"] == ("done", "") and ends["/private/x"] == ("refused", "robots")
    assert ends["/gone"] == ("failed", "http_404") and "/b" not in ends and "/c" not in ends
    assert web.log[0][0] == "/robots.txt" and web.asked("/robots.txt") == 1 and web.asked("/private/x") == 0
    counts = schedule.frontier.counts()
    assert counts["pages"] == 2 and counts["refused.other_host"] == 1 and counts["failed.http_404"] == 1


@pytest.mark.parametrize("status", [500, 503])
def test_a_failing_robots_txt_is_retried_and_then_forbids_all(
    web: Any, tools: Any, tmp_path: Path, status: int
) -> None:
    web.answers |= {"/robots.txt": (status, {}, b""), "/": tools.page()}
    schedule = tools.crawl(tools.source(web.url(), retries=2), tmp_path)
    assert tools.ends(schedule) == {"/": ("refused", "robots_unavailable")}
    assert web.asked("/robots.txt") == 3 and web.asked("/") == 0


def test_a_robots_txt_that_comes_late_counts(web: Any, tools: Any, tmp_path: Path) -> None:
    def late(times: int) -> tuple[int, dict[str, str], bytes]:
        return (503, {}, b"") if times == 0 else (200, {}, b"User-agent: *\nDisallow: /a")

    web.answers |= {"/robots.txt": late, "/": tools.page("/a", "/b"), "/a": tools.page(), "/b": tools.page()}
    ends = tools.ends(tools.crawl(tools.source(web.url()), tmp_path))
    assert ends == {"/": ("done", ""), "/a": ("refused", "robots"), "/b": ("done", "")}


def test_a_redirected_robots_txt_speaks_for_the_first_host(web: Any, tools: Any, tmp_path: Path) -> None:
    web.answers |= {
        "/robots.txt": (301, {"Location": f"http://localhost:{web.port}/rules"}, b""),
        "/rules": (200, {}, gzip.compress(b"User-agent: *\nDisallow: /a")),
        "/": tools.page("/a"),
    }
    web.answers["/rules"][1]["Content-Encoding"] = "gzip"
    assert tools.ends(tools.crawl(tools.source(web.url()), tmp_path))["/a"] == ("refused", "robots")


def test_delay_holds_across_two_workers(web: Any, tools: Any, tmp_path: Path) -> None:
    """robots' crawl-delay is longer than the recipe's, so it counts; and never two requests at once."""
    web.answers |= {"/robots.txt": (200, {}, b"User-agent: *\nCrawl-delay: 0.15"), "/": tools.page(*"abcdef")}
    web.answers |= {f"/{name}": tools.page() for name in "abcdef"}
    schedule = tools.crawl(tools.source(web.url(), delay=0.05, per_host=4), tmp_path, fetchers=2)
    assert schedule.status().pages == 7 and web.most_at_once == 1
    gaps = [after[1] - before[2] for before, after in zip(web.log[1:], web.log[2:], strict=False)]
    assert len(gaps) == 6 and min(gaps) >= 0.15


def test_per_host_and_concurrency_hold_across_two_workers(web: Any, tools: Any, tmp_path: Path) -> None:
    web.seconds = 0.03
    names = [f"p{number}" for number in range(24)]
    web.answers |= {"/": tools.page(*names)} | {f"/{name}": tools.page() for name in names}
    assert tools.crawl(tools.source(web.url(), per_host=3), tmp_path, fetchers=2).status().pages == 25
    assert web.most_at_once == 3
    web.most_at_once = 0
    tools.crawl(tools.source(web.url(), per_host=9, concurrency=2), tmp_path / "x", fetchers=2)
    assert web.most_at_once == 2


def test_redirects_are_followed_hop_by_hop(web: Any, tools: Any, tmp_path: Path) -> None:
    web.answers |= {
        "/robots.txt": (200, {}, b"User-agent: *\nDisallow: /private"),
        "/": tools.page("/one", "/forbidden", "/loop", "/nowhere", "/outside", "/long0"),
        "/one": (301, {"Location": "two#part"}, b""),
        "/two": (302, {"Location": "/three"}, b""),
        "/three": tools.page(text="arrived"),
        "/forbidden": (302, {"Location": "/private"}, b""),
        "/loop": (302, {"Location": "/loop"}, b""),
        "/nowhere": (302, {"Location": "mailto:a@b"}, b""),
        "/outside": (302, {"Location": "http://elsewhere.example/"}, b""),
        **{f"/long{n}": (307, {"Location": f"/long{n + 1}"}, b"") for n in range(9)},
    }
    schedule = tools.crawl(tools.source(web.url(), max_redirects=3), tmp_path)
    ends = tools.ends(schedule)
    assert ends["/one"] == ends["/two"] == ends["/loop"] == ends["/outside"] == ("redirect", "")
    assert ends["/three"] == ("done", "") and ends["/private"] == ("refused", "robots")
    assert ends["/nowhere"] == ("failed", "bad_redirect") and ends["/long3"] == ("failed", "too_many_redirects")
    assert "/long4" not in ends and web.asked("/loop") == 1


def test_retry_after_and_back_off(web: Any, tools: Any, tmp_path: Path) -> None:
    def busy(times: int) -> tuple[int, dict[str, str], bytes]:
        return (429, {"Retry-After": "1"}, b"") if times == 0 else tools.page()

    web.answers |= {"/": busy, "/robots.txt": (404, {}, b"")}
    schedule = tools.crawl(tools.source(web.url()), tmp_path)
    asked = [began for path, began, _ in web.log if path == "/"]
    assert schedule.frontier.counts()["retries"] == 1 and len(asked) == 2
    assert asked[1] - asked[0] >= 1.0  # the back-off alone would be 0.02 s
    web.answers["/"] = 500, {}, b""
    web.log.clear()
    assert tools.ends(tools.crawl(tools.source(web.url(), retries=3), tmp_path / "x")) == {"/": ("failed", "http_500")}
    asked = [began for path, began, _ in web.log if path == "/"]
    gaps = [b - a for a, b in pairwise(asked)]
    assert len(gaps) == 3 and gaps[0] >= 0.02 and gaps[1] >= 0.04 and gaps[2] >= 0.08


def test_retry_after_as_a_date(web: Any, tools: Any, tmp_path: Path) -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    web.answers["/"] = lambda times: (503, {"Retry-After": until}, b"") if times == 0 else tools.page()
    tools.crawl(tools.source(web.url(), respect_robots=False), tmp_path)
    assert web.log[1][1] - web.log[0][1] > 0.5


def test_one_bad_answer_does_not_stop_the_crawl(web: Any, tools: Any, tmp_path: Path) -> None:
    web.answers |= {
        "/": tools.page("/short", "/gzip", "/picture", "/slow", "/fine"),
        "/short": (200, {**tools.html, "Content-Length": "999"}, b"cut off"),
        "/gzip": (200, {**tools.html, "Content-Encoding": "gzip"}, b"not gzip"),
        "/picture": (200, {"Content-Type": "image/png"}, b"\x89PNG"),
        "/fine": tools.page(),
    }
    # the server keeps the connection open after a body that is shorter than it said: a time-out
    schedule = tools.crawl(tools.source(web.url(), retries=1, page_timeout=0.5), tmp_path)
    ends = tools.ends(schedule)
    assert ends["/short"] == ("failed", "timeout") and ends["/gzip"] == ("failed", "bad_encoding")
    assert ends["/picture"] == ("refused", "content_type") and ends["/fine"] == ("done", "")


def test_a_host_that_does_not_answer(tools: Any, tmp_path: Path) -> None:
    source = tools.source("http://127.0.0.1:9/", retries=1, respect_robots=False)
    assert tools.ends(tools.crawl(source, tmp_path)) == {"/": ("failed", "connection")}


def tree(tools: Any, width: int = 12) -> dict[str, Any]:
    """A page with links to `width` pages, every third of which is absent, each with a link further down."""
    names = [f"p{number:02}" for number in range(width)]
    answers = {f"/{name}": tools.page(f"/q{name}", text="x" * 100) for n, name in enumerate(names) if n % 3}
    return {"/": tools.page(*names), **answers, **{f"/qp{n:02}": tools.page(text="y" * 100) for n in range(width)}}


@pytest.mark.parametrize("fetchers", [1, 3])
def test_max_pages_takes_the_first_in_order(web: Any, tools: Any, tmp_path: Path, fetchers: int) -> None:
    web.answers |= tree(tools)
    schedule = tools.crawl(tools.source(web.url(), max_pages=5, per_host=4), tmp_path, fetchers=fetchers)
    ends = tools.ends(schedule)
    assert sorted(path for path, end in ends.items() if end[0] == "done") == ["/", "/p01", "/p02", "/p04", "/p05"]
    assert ends["/p00"] == ("failed", "http_404") and ends["/p06"] == ("refused", "max_pages")
    assert web.asked("/p07") == 0


@pytest.mark.parametrize("fetchers", [1, 3])
def test_max_bytes_cuts_at_the_same_place(web: Any, tools: Any, tmp_path: Path, fetchers: int) -> None:
    web.answers |= tree(tools)
    limit = len(web.answers["/"][2]) + 2 * len(web.answers["/p01"][2]) + 1
    schedule = tools.crawl(tools.source(web.url(), max_bytes=limit, per_host=4), tmp_path, fetchers=fetchers)
    ends = tools.ends(schedule)
    assert sorted(path for path, end in ends.items() if end[0] == "done") == ["/", "/p01", "/p02", "/p04"]
    assert ends["/p08"] == ("refused", "max_bytes") and web.asked("/qp01") == 0
    assert schedule.status().pages == 4


def test_max_depth(web: Any, tools: Any, tmp_path: Path) -> None:
    web.answers |= tree(tools)
    ends = tools.ends(tools.crawl(tools.source(web.url(), max_depth=1), tmp_path))
    assert ends["/p01"] == ("done", "") and ends["/qp01"] == ("refused", "max_depth")
