"""Tokenizers of all makers: their ids, what they put before a text, and which ids begin one and end an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.evaluate.requests import encode_pairs
from crawl2chat.evaluate.text_tokenizer import ModelTokenizer
from crawl2chat.tokenize.bpe import END, Tokenizer
from crawl2chat.tokenize.hf_files import CHAT_TEMPLATE, tokenizer_config
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, processors


def foreign(path: Path, *special: str, begin: str | None = None) -> Path:
    """Bytes as tokens; `begin` is put before every text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    library = Library(models.BPE(vocab={one: number for number, one in enumerate(alphabet)}, merges=[]))
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    library.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    library.add_special_tokens(list(special))
    if begin:
        library.post_processor = processors.TemplateProcessing(  # type: ignore[assignment]
            single=f"{begin} $A", special_tokens=[(begin, library.token_to_id(begin))]
        )
    library.save(str(path))
    return path


def said(folder: Path, **files: dict[str, Any]) -> None:
    for name, fields in files.items():
        (folder / f"{name}.json").write_text(json.dumps(fields))


def test_texts_have_the_ids_of_ours_and_come_back(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(tokenizer._data)
    ours = ModelTokenizer(tmp_path / "tokenizer.json")
    texts = ["Is 漢字 long?", "", " two  blanks\n", "\ud800 is half a character"]
    assert ours.encode_batch(texts) == [tokenizer.encode(text) for text in texts] == [ours.encode(x) for x in texts]
    assert ours.decode(tokenizer.encode(texts[0])) == texts[0] and ours.digest == tokenizer.digest
    assert (ours.prefix_id, ours.stop_ids) == (tokenizer.end_of_text, {tokenizer.end_of_text})


def test_special_tokens_that_a_template_spells_are_tokens(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_bytes(tokenizer._data)
    ours = ModelTokenizer(tmp_path / "tokenizer.json", {"kind": "house"})
    text = ours.chat([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Is it long?"}])
    assert text == "<|user|>Be brief.\n\nIs it long?<|end|><|assistant|>"
    asked = tokenizer.encode("Be brief.\n\nIs it long?")
    user, end, assistant = map(tokenizer.special, ("<|user|>", END, "<|assistant|>"))
    assert ours.encode(text) == [user, *asked, end, assistant]
    begun = [{"role": "user", "content": "Is it?"}, {"role": "assistant", "content": "It is "}]
    assert ours.chat(begun, generation_prompt=False) == "<|user|>Is it?<|end|><|assistant|>It is"
    with pytest.raises(InputError, match="no chat template"):
        ModelTokenizer(tmp_path / "tokenizer.json").chat(begun)


def test_a_model_that_chats_ends_with_its_turn(tokenizer: Tokenizer, tmp_path: Path) -> None:
    """Of a run the stage says so; of an exported folder its files do."""
    path, ends = tmp_path / "tokenizer.json", {tokenizer.end_of_text, tokenizer.special(END)}
    path.write_bytes(tokenizer._data)
    assert ModelTokenizer(path, {"kind": "house"}, [tokenizer.special(END)]).stop_ids == ends
    said(tmp_path, config={"eos_token_id": sorted(ends)}, tokenizer_config=tokenizer_config(64, chat=True))
    exported = ModelTokenizer(path)
    assert exported.stop_ids == ends and exported.prefix_id == tokenizer.end_of_text
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["chat_template"] == CHAT_TEMPLATE


def test_a_beginning_of_text_is_kept_before_context_and_whole(tmp_path: Path) -> None:
    other = ModelTokenizer(foreign(tmp_path / "tokenizer.json", "<s>", "</s>", begin="<s>"))
    assert other.encode("a")[0] == 256
    [request] = encode_pairs(other, [("What?", " It")], 100)
    assert len(request.inputs) == 1 + len("What?") + len(" It") - 1 and request.inputs[0] == 256
    assert len(request.targets) == len(" It")


def test_a_text_that_begins_with_it_gets_no_second_one(tmp_path: Path) -> None:
    """As lm-evaluation-harness does it: chat templates write it themselves."""
    path = foreign(tmp_path / "tokenizer.json", "<s>", "</s>", begin="<s>")
    said(tmp_path, tokenizer_config={"bos_token": "<s>", "eos_token": "</s>"})
    other = ModelTokenizer(path)
    plain, begun = other.encode_batch(["ab", "<s>ab"])
    assert plain == begun == other.encode("<s>ab") and plain.count(256) == 1
    said(tmp_path, tokenizer_config={"bos_token": "<s>", "add_bos_token": False})
    assert ModelTokenizer(path).encode("ab") == plain[1:]
    foreign(path, "<s>", "</s>")
    said(tmp_path, tokenizer_config={"bos_token": {"content": "<s>"}, "add_bos_token": True})
    assert ModelTokenizer(path).encode("ab") == plain


@pytest.mark.parametrize(
    ("files", "prefix", "stops"),
    [
        ({}, 257, {257}),
        ({"config": {"eos_token_id": 258}}, 258, {258}),
        ({"config": {"eos_token_id": [258, 257]}}, 258, {257, 258}),
        ({"config": {"eos_token_id": 257}, "generation_config": {"eos_token_id": [258]}}, 258, {258}),
        ({"config": {"eos_token_id": 258}, "tokenizer_config": {"eos_token": "<eos>"}}, 257, {257, 258}),
        ({"generation_config": {"eos_token_id": [257]}, "tokenizer_config": {"bos_token": "<bos>"}}, 256, {257}),
        ({"special_tokens_map": {"bos_token": {"content": "<bos>"}, "eos_token": "<eos>"}}, 256, {257}),
        ({"tokenizer_config": {"bos_token": "<absent>", "eos_token": "<eos>"}}, 257, {257}),
    ],
)
def test_what_begins_and_ends_a_text_is_the_models_own(
    files: dict[str, Any], prefix: int, stops: set[int], tmp_path: Path
) -> None:
    """All of several ids, and tokens that tokenizer_config.json names; bos_token before eos_token, as HFLM's prefix."""
    path = foreign(tmp_path / "tokenizer.json", "<bos>", "<eos>", "<turn>")
    said(tmp_path, **files)
    other = ModelTokenizer(path)
    assert (other.prefix_id, other.stop_ids) == (prefix, stops)
    [request] = encode_pairs(other, [("", "a")], 9)
    assert request.inputs == (prefix,)


def test_an_imported_folder_ends_where_chat_and_export_end(tmp_path: Path) -> None:
    """Without a config.json: a token that ends turns by its name."""
    path = foreign(tmp_path / "tokenizer.json", "<|im_start|>", "<|im_end|>", "<|endoftext|>")
    said(tmp_path, generation_config={"eos_token_id": [257]}, tokenizer_config={"bos_token": "<|im_start|>"})
    assert ModelTokenizer(path).stop_ids == {257, 258}
    said(tmp_path, config={})
    assert ModelTokenizer(path).stop_ids == {257}


def test_without_an_end_nothing_is_opened(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="eos_token_id"):
        ModelTokenizer(foreign(tmp_path / "none.json", "<x>"))


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer at"):
        ModelTokenizer(tmp_path / "absent.json")
    for text in ("{", "[]", '{"added_tokens": [1]}', "{}"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=r"x\.json is not a tokenizer"):
            ModelTokenizer(tmp_path / "x.json")
