"""Quotas of a sample, and the table of a vocabulary's languages, by hand and against the tokenizer itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.fertility import count, rates
from crawl2chat.tokenize.sample_work import quotas


@pytest.mark.parametrize(
    ("sizes", "budget", "balance", "expected"),
    [
        ({"web": 900, "wiki": 100}, 1000, 0.0, {"web": 1.0, "wiki": 1.0}),  # all that there is
        ({"web": 900, "wiki": 100}, 100, 0.0, {"web": 50 / 900, "wiki": 0.5}),  # the same of each
        ({"web": 900, "wiki": 100}, 100, 1.0, {"web": 0.1, "wiki": 0.1}),  # as they are
        ({"web": 900, "wiki": 100}, 100, 0.5, {"web": 75 / 900, "wiki": 25 / 100}),  # 30 : 10
        ({"web": 900, "wiki": 20, "books": 80}, 300, 0.0, {"web": 200 / 900, "wiki": 1.0, "books": 1.0}),
        ({"web": 900, "none": 0}, 90, 0.0, {"web": 0.1, "none": 1.0}),
    ],
)
def test_quotas(sizes: dict, budget: int, balance: float, expected: dict) -> None:
    assert quotas(sizes, budget, balance) == pytest.approx(expected)


def test_counts_are_the_tokenizers(trained: Callable[..., Tokenizer], declarations: dict[str, str]) -> None:
    tokenizer = trained(pattern="gpt4-marks")
    texts = [*declarations.values(), "", "two"]
    names = [*declarations, "eng", "eng"]
    counters = count(tokenizer, names, texts)
    for name, text in declarations.items():
        extra = ["", "two"] if name == "eng" else []
        assert counters[f"{name}.documents"] == 1 + len(extra)
        assert counters[f"{name}.tokens"] == sum(len(tokenizer.encode(one)) for one in (text, *extra))
        assert counters[f"{name}.bytes"] == sum(len(one.encode()) for one in (text, *extra))
        assert counters[f"{name}.characters"] == sum(map(len, (text, *extra)))
    rows = {row["language"]: row for row in rates(counters)}
    assert 0 < rows["eng"]["unknown"] < 0.001
    eng = counters["eng.bytes"] / counters["eng.tokens"]
    assert rows["eng"]["fertility"] == pytest.approx(eng, abs=1e-4)
    sizes = [row["bytes"] for row in rates(counters)]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("alphabet", ["bytes", "characters"])
def test_a_character_that_no_token_holds_is_unknown(trained: Callable[..., Tokenizer], alphabet: str) -> None:
    tokenizer = trained(pattern="gpt4-marks", alphabet=alphabet)
    counters = count(tokenizer, ["x", "y"], ["aᏣb Ꮳ\U0001f9ff", "abc"])
    assert counters["x.unknown_characters"] == 3
    assert counters["y.unknown_characters"] == 0
    assert [row["unknown"] for row in rates(counters)] == [0.5, 0.0]
