"""Batched, shared, cut: each log-likelihood equals the one that a single forward over the whole item gives."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from crawl2chat.core.errors import InputError, StageError
from crawl2chat.evaluate.likelihood import batches_of_likelihoods, log_likelihoods
from crawl2chat.evaluate.prefixes import families
from crawl2chat.evaluate.requests import Request, encode_pairs
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer

EXAMPLES = "Question: What is an acid?\nAnswer: An acid is sour.\n\n" * 3
LONG = "the history of it is long, " * 40


def asked() -> list[tuple[str, str]]:
    """One-token answers, answers of many lengths, shared examples, none, blanks, nothing before, too much before."""
    letters = [(f"{EXAMPLES}Question: {q}\nAnswer:", f" {x}") for q in ("What?", "Why is it sour?") for x in "ABCD"]
    texts = [(f"{EXAMPLES}An acid", f" is {x}") for x in ("short", "sour and long", "it", "漢字 🙂", "sour and short")]
    alone = [("The", " history"), ("Is it ", "long?"), ("", "An acid"), ("ab  ", " c"), ("   ", "x")]
    return [*letters, *texts, *alone, (LONG, "sour."), (LONG + "An", " acid is sour and short."), letters[0]]


@pytest.mark.parametrize("least_saved", [0, 256, 10**9])
@pytest.mark.parametrize("max_tokens", [1, 4096])
def test_equal_to_one_forward_a_token(by_hand, model, tokenizer, max_tokens: int, least_saved: int) -> None:
    requests = encode_pairs(tokenizer, asked(), model.config.context)
    found = log_likelihoods(model, requests, max_tokens, least_saved)
    wanted = [by_hand(model, tokenizer, *pair) for pair in asked()]
    np.testing.assert_allclose([one.log_likelihood for one in found], [one for one, _ in wanted], rtol=1e-5, atol=1e-5)
    assert [one.greedy for one in found] == [one for _, one in wanted]


def test_the_greedy_continuation_is_greedy(model: Transformer, tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode("The history of")
    for _ in range(4):
        with torch.no_grad():
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    right, wrong = ids.copy(), ids.copy()
    wrong[-1] = (wrong[-1] + 1) % 300
    found = log_likelihoods(model, [Request(tuple(x[:-1]), tuple(x[-4:]), 9) for x in (right, wrong)])
    assert [one.greedy for one in found] == [True, False]
    assert found[0].log_likelihood > found[1].log_likelihood


def test_likelihoods_of_all_tokens_sum_to_one(model: Transformer, tokenizer: Tokenizer) -> None:
    ids = tuple(tokenizer.encode("An acid is"))
    found = log_likelihoods(model, [Request(ids, (token,), 1) for token in range(tokenizer.vocab_size)])
    assert np.exp([one.log_likelihood for one in found]).sum() == pytest.approx(1, abs=1e-5)


def test_what_is_shared_is_read_once(model: Transformer, tokenizer: Tokenizer) -> None:
    """Tokens that the embedding sees: the four letters cost one row, the examples are read once for all items."""
    pairs = [(f"{EXAMPLES}Question: {n}?\nAnswer:", f" {letter}") for n in range(10) for letter in "ABCD"]
    requests = encode_pairs(tokenizer, pairs, model.config.context)
    seen: list[int] = []
    hook = model.embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].numel()))
    try:
        log_likelihoods(model, requests, least_saved=1)
        shared = sum(seen)
        seen.clear()
        log_likelihoods(model, requests, least_saved=10**9)
    finally:
        hook.remove()
    examples = len(tokenizer.encode(EXAMPLES))
    row = len(requests[0].inputs)
    assert sum(seen) == 10 * row
    assert shared <= examples + 2 + 10 * (row - examples)


@pytest.mark.parametrize("least_saved", [0, 10**9])
def test_what_is_known_changes_no_bit_of_the_rest(model, tokenizer, least_saved: int) -> None:
    """And costs nothing where a whole batch, or a whole family, is known."""
    requests = encode_pairs(tokenizer, asked(), model.config.context)
    batches = list(batches_of_likelihoods(model, requests, 200, least_saved))
    whole = {number: one for some in batches for number, one in some.items()}
    assert len(batches) > 3 and sorted(whole) == list(range(len(requests)))
    known = {number for some in batches[::2] for number in some} | set(list(batches[1])[:1])
    forwards: list[int] = []
    hook = model.embedding.register_forward_pre_hook(lambda _, inputs: forwards.append(inputs[0].numel()))
    try:
        rest = list(batches_of_likelihoods(model, requests, 200, least_saved, known))
        assert rest == [some for some in batches if not known.issuperset(some)]
        forwards.clear()
        assert not list(batches_of_likelihoods(model, requests, 200, least_saved, set(whole))) and not forwards
    finally:
        hook.remove()


def test_too_long_loses_its_beginning(tokenizer: Tokenizer) -> None:
    (request,) = encode_pairs(tokenizer, [(LONG, " sour")], 20)
    whole = tokenizer.encode(LONG.rstrip() + "  sour")
    assert request.inputs == tuple(whole[-21:-1]) and len(request.inputs) == 20
    assert request.targets == tuple(whole[len(tokenizer.encode(LONG.rstrip())) :]) and request.bytes == len("  sour")


def test_a_continuation_that_cannot_be_scored_is_named(tokenizer: Tokenizer) -> None:
    with pytest.raises(InputError, match="the model's context 20"):
        encode_pairs(tokenizer, [("An", " " + LONG)], 20)
    with pytest.raises(InputError, match="no token of its own"):
        encode_pairs(tokenizer, [("An", "")], 20)


def test_logits_that_are_not_finite_are_an_error(model: Transformer) -> None:
    hook = model.norm.register_forward_hook(lambda _, __, output: output * float("nan"))
    try:
        with pytest.raises(StageError, match="not finite"):
            log_likelihoods(model, [Request((5, 6), (7,), 1)])
    finally:
        hook.remove()


def test_families_save_the_most() -> None:
    """Against all ways to cut the sorted rows into runs."""
    generator = np.random.default_rng(0)
    for _ in range(60):
        rows = sorted({tuple(generator.integers(0, 2, generator.integers(1, 9)).tolist()) for _ in range(8)})
        limits = [len(row) - int(generator.integers(0, 2)) for row in rows]
        least = int(generator.integers(0, 6))

        def saved(start: int, stop: int, rows=rows, limits=limits, least=least) -> int:
            if stop - start == 1:
                return 0
            equal = [len([0 for n in range(1, 10) if a[:n] == b[:n] and n <= min(len(a), len(b))])
                     for a, b in pairwise(rows[start:stop])]  # fmt: skip
            return (stop - start - 1) * min(*limits[start:stop], *equal) - least

        best = [0]
        for stop in range(1, len(rows) + 1):
            best.append(max(best[start] + saved(start, stop) for start in range(stop)))
        found = families(rows, limits, least)
        assert [one.start for one in found[1:]] == [one.stop for one in found[:-1]]
        assert sum((one.stop - one.start - 1) * one.prefix - least for one in found if one.prefix) == best[-1]
        for one in found:
            assert len({row[: one.prefix] for row in rows[one.start : one.stop]}) == 1
            assert all(one.prefix <= limit for limit in limits[one.start : one.stop])
