"""Tokenizers that were made elsewhere: what the files beside a tokenizer.json say, and what is no text in bytes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import tokenizers
from crawl2chat.core.errors import InputError
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_template import OwnTemplate
from crawl2chat.tokenize.given import read_given, unspelled_bytes
from crawl2chat.tokenize.hf_files import CHAT_TEMPLATE, tokenizer_config
from crawl2chat.tokenize.probes import SENTENCES
from tokenizers import AddedToken, models, normalizers, pre_tokenizers
from tokenizers.decoders import ByteLevel

TEMPLATE = "{% for m in messages %}{{ '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>' }}{% endfor %}"
SPECIAL = ("<|begin|>", "<|im_start|>", "<|im_end|>", "<|endoftext|>")


def made(special: tuple[str, ...], without: str = "") -> tokenizers.Tokenizer:
    """Bytes alone, without merges, in GPT-2's spelling."""
    alphabet = [one for one in sorted(pre_tokenizers.ByteLevel.alphabet()) if one not in without]
    found = tokenizers.Tokenizer(models.BPE(vocab={one: index for index, one in enumerate(alphabet)}, merges=[]))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # pyright: ignore[reportAttributeAccessIssue]
    found.decoder = ByteLevel()  # pyright: ignore[reportAttributeAccessIssue]
    found.add_special_tokens([AddedToken(one, special=True, normalized=False) for one in special])
    found.add_tokens([AddedToken("<think>", special=False, normalized=False)])
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    def write(special: tuple[str, ...] = SPECIAL, **files: dict) -> Path:
        (tmp_path / "tokenizer.json").write_text(made(special).to_str(), encoding="utf-8")
        for name, content in files.items():
            (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
        return tmp_path

    return write


def test_roles_template_and_stops_come_from_the_files_beside(folder: Callable[..., Path]) -> None:
    tokens = {"bos_token": {"content": "<|begin|>"}, "eos_token": "<|im_end|>", "pad_token": "<|absent|>"}
    where = folder(
        tokenizer_config=tokens | {"chat_template": TEMPLATE, "add_bos_token": True},
        generation_config={"eos_token_id": [258, 7]},
    )
    given = read_given(where)
    assert given.tokens == {"bos_token": "<|begin|>", "eos_token": "<|im_end|>"} and given.adds_bos
    assert given.tokenizer.end_of_text == 259  # <|endoftext|>, before bos_token
    assert given.stop_ids == {258, 259, 7}
    assert given.chat_template == TEMPLATE and given.template is not None
    assert given.template.encode([{"role": "user", "content": "a<|im_end|>"}])[0].count(258) == 1
    assert given.tokenizer.decode(given.tokenizer.encode("é<think>")) == "é<think>"
    assert given.tokenizer.decode([*given.tokenizer.encode("a"), 400]) == "a", "an embedding may have more rows"
    again = pickle.loads(pickle.dumps(given.tokenizer))
    assert again.end_of_text == 259 and again.digest == given.tokenizer.digest


@pytest.mark.parametrize(
    ("files", "begin"),
    [
        ({"tokenizer_config": {"bos_token": "<|begin|>", "eos_token": "<|im_end|>"}}, "<|begin|>"),
        ({"tokenizer_config": {"bos_token": None, "eos_token": "<|im_end|>"}}, "<|im_end|>"),
        ({"special_tokens_map": {"bos_token": {"content": "<|begin|>"}}, "tokenizer_config": {}}, "<|begin|>"),
    ],
)
def test_what_a_document_begins_with(files: dict, begin: str, folder: Callable[..., Path]) -> None:
    where = folder(SPECIAL[:3], **files)
    tokenizer = Tokenizer.load(where / "tokenizer.json")
    assert tokenizer.end_of_text == tokenizer.special(begin)
    assert read_given(where).template is None


def test_without_a_name_for_it_the_tokenizer_is_refused(folder: Callable[..., Path]) -> None:
    where = folder(SPECIAL[:3])
    for _ in range(2):
        with pytest.raises(InputError, match="has no special token <.endoftext.>\n.*tokenizer_config.json"):
            read_given(where)
        (where / "tokenizer_config.json").write_text("{}")
    (where / "tokenizer_config.json").write_text("[1]")
    with pytest.raises(InputError, match="tokenizer_config.json holds a list"):
        read_given(where)


def test_our_own_export_speaks_our_template(trained: Callable[..., Tokenizer], tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(trained().data)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config(64, chat=True)))
    given = read_given(tmp_path)
    assert isinstance(given.template, OwnTemplate) and given.chat_template == CHAT_TEMPLATE


def test_bytes_without_a_token_are_counted(tmp_path: Path) -> None:
    data = made(("<|endoftext|>",), without="ĀÿĄ").to_str().encode()  # the bytes 0, 0xff and 4
    tokenizer = Tokenizer(data, end_of_text="<|endoftext|>")
    assert unspelled_bytes(data, tokenizer, "here") == 3
    assert tokenizer.decode(tokenizer.encode("a\x00b")) == "ab"


def test_normalisation_is_allowed() -> None:
    found = made(("<|endoftext|>",))
    found.normalizer = normalizers.NFC()  # pyright: ignore[reportAttributeAccessIssue]
    data = found.to_str().encode()
    assert unspelled_bytes(data, Tokenizer(data, end_of_text="<|endoftext|>"), "here") == 0


def test_text_that_is_not_spelled_in_bytes_is_refused() -> None:
    """As SentencePiece does: spaces as a mark, and one before the text."""
    letters = {one: index for index, one in enumerate(sorted({*"".join(SENTENCES), "▁"}))}
    found = tokenizers.Tokenizer(models.BPE(vocab=letters, merges=[]))
    found.pre_tokenizer = pre_tokenizers.Metaspace()  # pyright: ignore[reportAttributeAccessIssue]
    found.add_special_tokens([AddedToken("</s>", special=True)])
    data = found.to_str().encode()
    with pytest.raises(InputError, match="here does not spell text in bytes: 'The quick.*\n.*byte-level BPE"):
        unspelled_bytes(data, Tokenizer(data, end_of_text="</s>"), "here")
