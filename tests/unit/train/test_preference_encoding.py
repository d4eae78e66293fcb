"""Preference pairs as tokens: what is prompt and what is answer, cut or refused; and real ones up to the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from crawl2chat.core.errors import InputError
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import ASSISTANT, END, USER, Tokenizer
from crawl2chat.tokenize.chat_template import OwnTemplate
from crawl2chat.train.preference import pair_log_probs
from crawl2chat.train.preference_encoding import EncodedPair, encode_pair, truncated
from crawl2chat.train.preference_file import PairRows, write_pairs
from crawl2chat.train.preference_objective import flat_pairs
from crawl2chat.train.preference_rows import Pair, read_pairs


def pair(*prompt: str, chosen: str = "yes", rejected: str = "never") -> Pair:
    roles = ("user", "assistant")
    messages = tuple({"role": roles[at % 2], "content": text} for at, text in enumerate(prompt))
    return Pair(messages, chosen, rejected, "p.jsonl:7")


def test_the_last_answer_and_its_end_count_and_nothing_else(tokenizer: Tokenizer) -> None:
    """Earlier answers of the same conversation are part of the prompt."""
    first, second = (encode_pair(OwnTemplate(tokenizer), one) for one in (pair("a?", "hm", "so?"), pair("b")))
    end, user, assistant = (tokenizer.special(mark) for mark in (END, USER, ASSISTANT))
    for one in (first, second):
        assert one.chosen == [*tokenizer.encode("yes"), end] and one.rejected == [*tokenizer.encode("never"), end]
    asked = [user, *tokenizer.encode("a?"), end, assistant, *tokenizer.encode("hm"), end]
    assert first.prompt == [*asked, user, *tokenizer.encode("so?"), end, assistant]
    assert second.prompt == [user, *tokenizer.encode("b"), end, assistant]
    assert second.longest == len(second.prompt) + 6


def test_a_message_that_the_template_refuses_is_named(tokenizer: Tokenizer) -> None:
    tool = Pair(({"role": "tool", "content": "x"}, *pair("abc").prompt), "a", "b", "p.jsonl:9")
    with pytest.raises(InputError, match="p.jsonl:9: message 1"):
        encode_pair(OwnTemplate(tokenizer), tool)


def test_pairs_are_cut_only_as_far_as_they_still_differ() -> None:
    pair = EncodedPair([1, 2, 3], [4, 5, 6, 7], [4, 5, 8])
    assert truncated(pair, 6) == EncodedPair([1, 2, 3], [4, 5, 6], [4, 5, 8])
    assert truncated(pair, 5) is None and truncated(pair, 3) is None and truncated(pair, 1) is None


def test_real_pairs_reach_the_model(tokenizer: Tokenizer, shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "preference" / "rasbt_instruction_data_with_preference.json.gz"
    pairs, _ = read_pairs([source])
    encoded = [encode_pair(OwnTemplate(tokenizer), one) for one in pairs[:4]]
    write_pairs(tmp_path / "p.arrow", [(one.source, two) for one, two in zip(pairs[:4], encoded, strict=True)])
    longest = max(one.longest for one in encoded)
    vocabulary = len(tokenizer.token_bytes())
    config = ModelConfig(
        vocabulary, layers=1, width=16, heads=2, kv_heads=1, feed_forward=32, context=longest, positions="learned"
    )
    model = Transformer(config)
    model.init_weights(0)
    assert longest % 16, "rounded up it would be more than the context"
    inputs, targets = PairRows(tmp_path / "p.arrow", context=longest).batch(np.arange(4))
    found = pair_log_probs(model, *flat_pairs(inputs, targets, torch.device("cpu")))
    assert found.chosen_tokens_P.tolist() == [len(one.chosen) for one in encoded]
    assert (found.chosen_P < -2 * found.chosen_tokens_P).all()
