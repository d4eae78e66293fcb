from __future__ import annotations

import pytest
from crawl2chat.core.settings_data import CrawlSource
from crawl2chat.pipelines.sources.crawl.urls import Scope, canonical, host_of, origin_of


@pytest.mark.parametrize(
    ("url", "same_as"),
    [
        ("HTTP://Example.ORG", "http://example.org/"),
        ("http://example.org:80/a", "http://example.org/a"),
        ("https://example.org:443/a#part", "https://example.org/a"),
        ("https://example.org:80/", "https://example.org:80/"),
        ("http://example.org/a/./b/../c/..", "http://example.org/a/"),
        ("http://example.org/../../x", "http://example.org/x"),
        ("http://example.org/%7euser/ä?q=ü b", "http://example.org/%7Euser/%C3%A4?q=%C3%BC%20b"),
        ("http://example.org/50%", "http://example.org/50%25"),
        ("http://bücher.example./", "http://xn--bcher-kva.example/"),
        ("http://2130706433/", "http://127.0.0.1/"),
        ("http://0x7f.1/", "http://127.0.0.1/"),
        ("http://0177.0.0.1/", "http://127.0.0.1/"),
        ("http://1a.be/", "http://1a.be/"),
        ("http://[::FFFF:127.0.0.1]/", "http://[::ffff:127.0.0.1]/"),
    ],
)
def test_one_spelling(url: str, same_as: str) -> None:
    assert canonical(url) == same_as
    assert canonical(same_as) == same_as


@pytest.mark.parametrize(
    "url",
    [
        *("mailto:a@b.c", "javascript:x()", "ftp://a/", "/a", "http://", "http://u:p@a/", "http://a:99999/"),
        *("http://[::1/", "http://999.1.1.1/", "http://a/" + "x" * 2000),
    ],
)
def test_what_is_not_fetched(url: str) -> None:
    assert canonical(url) is None


def test_scope_gives_the_reason() -> None:
    source = CrawlSource(kind="crawl", name="t", include=["/docs/"], exclude=[r"\.zip$"])
    scope = Scope.of(source, ["http://a/docs/"])
    assert scope.refusal("http://a/docs/x") is None
    assert scope.refusal("http://b/docs/x") == "other_host"
    assert scope.refusal("http://a/docs/x.zip") == "excluded"
    assert scope.refusal("http://a/blog/") == "not_included"
    assert Scope.of(source.model_copy(update={"same_host": False}), []).refusal("http://b/docs/x") is None


def test_host_and_origin() -> None:
    assert (host_of("http://a:8080/x"), origin_of("http://a:8080/x")) == ("a", "http://a:8080")
