"""Which URLs are one."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.dedup.urls import normalise_url, url_hashes


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


def test_what_is_no_url_has_no_hash() -> None:
    hashes, has = url_hashes(["http://a.org/", "", "https://A.org", "http://a.org/b"])
    assert has.tolist() == [True, False, True, True]
    assert hashes.shape == (3, 2) and hashes.dtype == np.uint64
    assert (hashes[0] == hashes[1]).all() and (hashes[0] != hashes[2]).all()
