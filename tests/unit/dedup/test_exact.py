"""What exact comparison overlooks, and what it does not."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from crawl2chat.dedup.exact import EXACT_VERSION, exact_hashes


@pytest.mark.parametrize(
    "one, other, same",
    [
        ("Hello  world\n", "hello world", True),
        ("\tA\u00a0b\u2003c ", "a b c", True),
        ("café", "cafe\u0301", True),
        ("ﬁne", "fine", True),
        ("", " \n", True),
        ("hello world", "hello, world", False),
        ("hello world", "helloworld", False),
        ("", "a", False),
    ],
)
def test_normalisation(one: str, other: str, same: bool) -> None:
    left, right = exact_hashes([one, other])
    assert (left == right).all() == same


def test_shape_and_half_characters() -> None:
    assert exact_hashes([]).shape == (0, 2)
    hashes = exact_hashes(["\ud800", "\udfff"])
    assert hashes.dtype == np.uint64 and not (hashes[0] == hashes[1]).any()


def test_hashes_are_these_on_every_machine() -> None:
    """Whoever changes one raises EXACT_VERSION. Only characters that have been in Unicode for long."""
    pinned = {
        "": "40bdefd94169e6ca7076a68e75884d4e",
        "Hello  World\n": "36fd27e5b204a8e9d63c02bbc0ffd201",
        "ÉCOLE ﬁne Ⅷ": "4208bbe75d894556f31339edb1862447",
        "\u1e9e Straße ΣΑΣ": "770f9c79740915671b6237e7c5f3fc84",
        "你好，世界": "71f3b819771b07349214ee44bd9701f9",
        "\ud800 half": "05ae2603aa24c30b5d1888d11158c535",
    }
    assert EXACT_VERSION == 1
    found = {text: f"{one:016x}{two:016x}" for text in pinned for one, two in exact_hashes([text]).tolist()}
    assert found == pinned, unicodedata.unidata_version
