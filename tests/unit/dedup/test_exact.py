"""What exact comparison overlooks, and what it does not."""

from __future__ import annotations

import numpy as np
import pytest
from crawl2chat.dedup.exact import exact_hashes


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
