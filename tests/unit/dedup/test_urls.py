"""Which URLs are one."""

from __future__ import annotations

import pytest
from crawl2chat.dedup.urls import normalise_url, url_keys


@pytest.mark.parametrize(
    "url, expected",
    [
        ("HTTP://Example.ORG", "example.org/"),
        ("https://example.org:443/a?b=1#c", "example.org/a?b=1"),
        ("http://user:word@example.org.:8080/A", "example.org:8080/A"),
        ("", None),
        ("ftp://example.org/a", None),
        ("http://[broken", None),
        ("http://example.org:port/", None),
    ],
)
def test_normal_form(url: str, expected: str | None) -> None:
    assert normalise_url(url) == expected


def test_what_is_no_url_has_no_key() -> None:
    keys, has = url_keys(["http://a.org/", "", "https://A.org", "http://a.org/b"])
    assert has.tolist() == [True, False, True, True]
    assert keys[0] == keys[1] != keys[2]
