"""Every encoder gives the library's ids, or is not used."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest
import tiktoken
import tokenizers
from crawl2chat.core.log import log
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.compiled_encoder import SLOTS, CompiledEncoder
from crawl2chat.tokenize.encode import encode_column, encode_documents
from crawl2chat.tokenize.encoders import Encoder, LibraryEncoder, TiktokenEncoder, as_bytes, choose, texts_of
from crawl2chat.tokenize.patterns import cutting_of
from crawl2chat.tokenize.probes import probes
from crawl2chat.tokenize.vocabulary import read_vocabulary

Make = Callable[..., Tokenizer]
OWN = r"\p{L}+|\p{N}|\s+"
SETTINGS = [
    {"pattern": "gpt2"},
    {"pattern": "gpt2", "digits": 1},
    {"pattern": "gpt2", "digits": 3},
    {"pattern": "gpt4"},
    {"pattern": "gpt4", "digits": 1},
    {"pattern": "gpt4-marks"},
    {"pattern": "gpt4-marks", "alphabet": "characters", "character_coverage": 0.98},
    {"pattern": "gpt2", "alphabet": "characters"},
]


def data_of(tokenizer: Tokenizer) -> bytes:
    return tokenizer.__reduce__()[1][0]


def library(data: bytes) -> LibraryEncoder:
    made = tokenizers.Tokenizer.from_buffer(data)
    made.encode_special_tokens = True
    return LibraryEncoder(made, 0)


def compiled(data: bytes, slots: int = SLOTS) -> CompiledEncoder:
    vocabulary = read_vocabulary(data)
    cutting = cutting_of(vocabulary.regex)
    assert cutting is not None
    return CompiledEncoder(vocabulary, cutting, 0, slots)


def same(one: Encoder, other: Encoder, texts: list[str]) -> bool:
    found, right = (encoder.encode(*as_bytes(texts)) for encoder in (one, other))
    return found[0].dtype == right[0].dtype and all(map(np.array_equal, found, right))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_compiled_ids_are_the_librarys(
    trained: Make, declarations: dict[str, str], web_texts: list[str], settings: dict
) -> None:
    data = data_of(trained(**settings))
    encoder = compiled(data)
    texts = [*probes(), *declarations.values(), *web_texts]
    assert same(encoder, library(data), texts)
    assert same(encoder, library(data), texts)  # now that every piece has been met
    assert trained(**settings).encoder.name == "compiled"


def test_all_code_points_and_very_long_pieces(trained: Make) -> None:
    tokenizer = trained(pattern="gpt4-marks")
    assert tokenizer.check_encoder(["of the run"]).name == "compiled"
    assert sum(map(len, probes(thorough=True))) > 0x110000


@pytest.mark.parametrize("slots", [8, 512])
def test_a_full_table_begins_anew(trained: Make, web_texts: list[str], slots: int) -> None:
    data = data_of(trained(pattern="gpt4"))
    assert same(compiled(data, slots), library(data), [*web_texts[:100], *probes()])


@pytest.mark.parametrize("settings", [{"pattern": OWN}, {"pattern": "gpt4"}], ids=str)
def test_tiktoken_ids_are_the_librarys(trained: Make, web_texts: list[str], settings: dict) -> None:
    data = data_of(trained(**settings))
    assert same(TiktokenEncoder(read_vocabulary(data), 0), library(data), web_texts)


def test_an_own_pattern_goes_to_tiktoken_and_an_odd_one_to_the_library(trained: Make) -> None:
    assert trained(pattern=OWN).encoder.name == "tiktoken"
    assert trained(pattern=OWN, alphabet="characters").encoder.name == "library"
    assert trained(pattern=r"\p{L}*").encoder.name == "library"  # its empty matches break tiktoken


def test_a_broken_merge_table_is_found_out(
    trained: Make, web_texts: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Each encoder is given a vocabulary in which one merge of " the" is missing, the next one all of it."""
    tokenizer = trained(pattern="gpt4")
    data = data_of(tokenizer)
    described = json.loads(data)
    broken = json.loads(data)
    broken["model"]["merges"] = [pair for pair in described["model"]["merges"] if "".join(pair) != "Ġthe"]
    assert len(broken["model"]["merges"]) < len(described["model"]["merges"])
    wrong, right = json.dumps(broken).encode(), library(data)
    made = {"compiled": lambda: compiled(wrong), "tiktoken": lambda: TiktokenEncoder(read_vocabulary(data), 0)}
    first = {"compiled": made["compiled"]}
    caplog.set_level(logging.WARNING, log.name)
    log.addHandler(caplog.handler)
    try:
        assert choose(made, right, ["nothing of it", *web_texts]).name == "tiktoken"
        assert "the compiled encoder gives other ids" in caplog.text
        assert choose(first, right, web_texts) is right
        assert choose(first, right, ["a"]).name == "compiled"  # the difference shows only where it is
    finally:
        log.removeHandler(caplog.handler)


def test_an_encoder_that_breaks_is_not_used(trained: Make, caplog: pytest.LogCaptureFixture) -> None:
    data = data_of(trained(pattern=r"\p{L}*"))
    broken = TiktokenEncoder(read_vocabulary(data_of(trained(pattern=OWN))), 0)
    ranks = {bytes([byte]): byte for byte in range(256)}
    broken._encoding = tiktoken.Encoding("empty", pat_str=r"\p{L}*", mergeable_ranks=ranks, special_tokens={})
    cut = CompiledEncoder.__new__(CompiledEncoder)  # as one whose making was cut off: each use is an AttributeError

    def absent() -> Encoder:
        raise ImportError("no module of that name")

    def stopped() -> Encoder:
        raise KeyboardInterrupt

    caplog.set_level(logging.WARNING, log.name)
    log.addHandler(caplog.handler)
    try:
        made = {"absent": absent, "cut": lambda: cut, "tiktoken": lambda: broken}
        assert choose(made, library(data), ["a 1"]).name == "library"
    finally:
        log.removeHandler(caplog.handler)
    for says in ("the absent encoder broke, and is not used: ImportError: no module", "the cut encoder broke",
                 "the tiktoken encoder broke, and is not used: PanicException"):  # fmt: skip
        assert says in caplog.text
    with pytest.raises(KeyboardInterrupt):
        choose({"stopped": stopped}, library(data), ["a"])


def test_a_vocabulary_of_others_is_left_to_the_library(trained: Make, web_texts: list[str]) -> None:
    described = json.loads(data_of(trained(pattern="gpt4")))
    described["normalizer"] = {"type": "Lowercase"}
    foreign = Tokenizer(json.dumps(described).encode())
    assert foreign.encoder.name == "library"
    tokens, _ = encode_documents(foreign, ["HELLO"])
    assert tokens.tolist() == [*foreign.encode("hello"), 0]


def test_documents_and_columns(trained: Make) -> None:
    tokenizer = trained(pattern="gpt4-marks")
    texts = ["one two", "", "漢字 <|end|>", "x" * 500]
    expected = [[*tokenizer.encode(text), 0] for text in texts]
    for tokens, counts in (
        encode_documents(tokenizer, texts),
        encode_column(tokenizer, pa.array(texts)),
        encode_column(tokenizer, pa.array(["before", *texts, "behind"], pa.large_string()).slice(1, 4)),
    ):
        assert [one.tolist() for one in np.split(tokens, np.cumsum(counts)[:-1])] == expected
    assert [len(part) for part in encode_documents(tokenizer, [])] == [0, 0]
    assert [len(part) for part in encode_column(tokenizer, pa.array([], pa.string()))] == [0, 0]


def test_what_is_no_unicode_becomes_the_replacement_character(trained: Make) -> None:
    tokenizer = trained(pattern="gpt4")
    broken = pa.Array.from_buffers(
        pa.string(), 1, [None, pa.py_buffer(np.array([0, 4], np.int32)), pa.py_buffer(b"a\xff\xc3b")]
    )
    for tokens, _ in (encode_documents(tokenizer, ["a\udfff\ud800b"]), encode_column(tokenizer, broken)):
        assert tokenizer.decode(tokens.tolist()) == "a\ufffd\ufffdb"
    assert tokenizer.encode("a\udfff\ud800b") == tokenizer.encode_batch(["a\ufffd\ufffdb"])[0]


def test_texts_come_back_from_bytes() -> None:
    texts = ["a", "", "é漢", "😀"]
    assert texts_of(*as_bytes(texts)) == texts
