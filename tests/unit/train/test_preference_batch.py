from __future__ import annotations

from pathlib import Path

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import ASSISTANT, END, SPECIAL_TOKENS, USER, Tokenizer
from crawl2chat.tokenize.chat_template import OwnTemplate
from crawl2chat.train.preference import pair_log_probs
from crawl2chat.train.preference_batch import EncodedPair, encode_pair, encode_pairs, pair_batch, truncated
from crawl2chat.train.preference_rows import Pair, read_pairs
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """A tokenizer of bytes."""
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    library.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    library.train_from_iterator(
        [], trainers.BpeTrainer(vocab_size=260, special_tokens=list(SPECIAL_TOKENS), initial_alphabet=alphabet)
    )
    return Tokenizer(library.to_str().encode())


def pair(*prompt: str, chosen: str = "yes", rejected: str = "never") -> Pair:
    roles = ("user", "assistant")
    messages = tuple({"role": roles[at % 2], "content": text} for at, text in enumerate(prompt))
    return Pair(messages, chosen, rejected, "p.jsonl:7")


def test_the_last_answer_and_its_end_count_and_nothing_else(tokenizer: Tokenizer) -> None:
    """Earlier answers of the same conversation are part of the prompt."""
    pairs = [encode_pair(OwnTemplate(tokenizer), one) for one in (pair("a?", "hm", "so?"), pair("b"))]
    tokens, answer = pair_batch(pairs)
    assert tokens.shape == answer.shape and len(tokens) == 4
    end, user, assistant = (tokenizer.special(mark) for mark in (END, USER, ASSISTANT))
    spelled = {"yes": tokenizer.encode("yes"), "never": tokenizer.encode("never")}
    for row, text in enumerate(["yes", "yes", "never", "never"]):
        assert tokens[row][answer[row]].tolist() == [*spelled[text], end]
    asked = [user, *tokenizer.encode("a?"), end, assistant, *tokenizer.encode("hm"), end]
    asked += [user, *tokenizer.encode("so?"), end, assistant]
    for row, prompt in enumerate([asked, [user, *tokenizer.encode("b"), end, assistant]] * 2):
        assert tokens[row, : int(answer[row].int().argmax())].tolist() == prompt
    for row, mask in zip(tokens, answer, strict=True):
        assert (row[int(mask.nonzero().max()) + 1 :] == 0).all()


def test_pairs_that_do_not_fit_are_counted_and_never_cut(tokenizer: Tokenizer) -> None:
    fits = pair("abc")
    longest = encode_pair(OwnTemplate(tokenizer), fits).longest
    system = Pair(({"role": "tool", "content": "x"}, *fits.prompt), "a", "b", "p.jsonl:9")
    encoded, counts = encode_pairs(OwnTemplate(tokenizer), [fits, pair("abcd"), system], context=longest - 1)
    assert len(encoded) == 1 and counts == {"template": 1, "too_long": 1}
    with pytest.raises(InputError, match="p.jsonl:9: message 1"):
        encode_pair(OwnTemplate(tokenizer), system)


def test_pairs_are_cut_only_as_far_as_they_still_differ() -> None:
    pair = EncodedPair([1, 2, 3], [4, 5, 6, 7], [4, 5, 8])
    assert truncated(pair, 6) == EncodedPair([1, 2, 3], [4, 5, 6], [4, 5, 8])
    assert truncated(pair, 5) is None and truncated(pair, 3) is None and truncated(pair, 1) is None


def test_real_pairs_reach_the_model(tokenizer: Tokenizer, shared_data: Path) -> None:
    source = shared_data / "preference" / "rasbt_instruction_data_with_preference.json.gz"
    pairs, _ = read_pairs([source])
    encoded, counts = encode_pairs(OwnTemplate(tokenizer), pairs, context=256)
    assert len(encoded) + sum(counts.values()) == 1094 and counts["template"] == 0 and len(encoded) > 500
    vocabulary = len(tokenizer.token_bytes())
    config = ModelConfig(vocabulary, layers=1, width=16, heads=2, kv_heads=1, feed_forward=32, context=256)
    model = Transformer(config)
    model.init_weights(0)
    found = pair_log_probs(model, *pair_batch(encoded[:4]))
    assert found.chosen_tokens_P.tolist() == [len(one.chosen) for one in encoded[:4]]
    assert (found.chosen_P < -2 * found.chosen_tokens_P).all()
