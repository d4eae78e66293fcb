from __future__ import annotations

import time

import pytest
from crawl2chat.pipelines.sources.crawl.robots import MAX_BYTES, parse, product_token


def allowed(content: str, path: str, token: str = "crawl2chat") -> bool:
    return parse(content.encode(), token).allows(f"http://a{path}")


@pytest.mark.parametrize(
    ("rules", "path", "expected"),
    [
        ("Disallow: /a", "/ab", False),
        ("Disallow: /a", "/b", True),
        ("Disallow:", "/a", True),
        ("Disallow: /\nAllow: /p/", "/p/x", True),  # the longest rule wins, wherever it stands
        ("Allow: /p\nDisallow: /p", "/p", True),  # a tie is for Allow
        ("Disallow: /*.gif$", "/x/y.gif", False),
        ("Disallow: /*.gif$", "/x/y.gif?z", True),
        ("Disallow: /*?key=", "/s?key=1", False),
        ("Disallow: /a$", "/ab", True),
        ("Disallow: /%7ejoe/", "/%7Ejoe/x", False),
        ("Disallow: /", "/robots.txt", True),
        ("Disallow: /*a*b$", "/xaybzb", False),
        ("Disallow: /ab*b$", "/ab", True),  # one b cannot be both
    ],
)
def test_rules(rules: str, path: str, expected: bool) -> None:
    assert allowed(f"User-agent: *\n{rules}", path) is expected


def test_groups() -> None:
    content = "User-Agent: other\nUser-agent: Crawl2Chat/9\nDisallow: /x\n\nUser-agent: *\nDisallow: /\n"
    content += "User-agent: crawl2chat\nDisallow: /y  # more of our group"
    assert not allowed(content, "/x") and not allowed(content, "/y") and allowed(content, "/z")
    assert not allowed(content, "/z", token="stranger")


def test_crawl_delay() -> None:
    assert parse(b"User-agent: *\nCrawl-delay: 2.5\nDisallow: /x", "t").crawl_delay == 2.5
    assert parse(b"User-agent: *\nCrawl-delay: soon", "t").crawl_delay == 0
    assert parse(b"User-agent: *\nCrawl-delay: nan", "t").crawl_delay == 0
    assert parse(b"User-agent: *\nCrawl-delay: 1e9", "t").crawl_delay == 600


def test_only_500_kib_are_read() -> None:
    filler = b"# filler\n" * (MAX_BYTES // 9 + 1)
    assert parse(b"User-agent: *\n" + filler + b"Disallow: /", "t").allows("http://a/x")


def test_hostile_stars_take_linear_time() -> None:
    rules = parse(b"User-agent: *\nDisallow: /" + b"*a" * 500 + b"*b", "t")
    began = time.process_time()
    assert rules.allows("http://a/" + "a" * 1900)
    assert time.process_time() - began < 1


def test_rubbish_forbids_nothing() -> None:
    assert parse(b"\xff\xfe\x00<html>Disallow: /</html>", "t").allows("http://a/x")


def test_product_token() -> None:
    assert product_token("crawl2chat/0.1 (+https://example.org)") == "crawl2chat"
