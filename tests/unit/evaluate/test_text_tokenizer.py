"""Tokenizers of other makers: their ids, what they put before a text, and the token that ends one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.evaluate.requests import encode_pairs
from crawl2chat.evaluate.text_tokenizer import ForeignTokenizer, open_tokenizer
from crawl2chat.tokenize.bpe import Tokenizer
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


def test_ours_is_ours_and_others_are_foreign(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "ours.json").write_bytes(tokenizer._data)
    assert isinstance(open_tokenizer(tmp_path / "ours.json"), Tokenizer)
    other = open_tokenizer(foreign(tmp_path / "other.json", "<s>", "</s>"))
    assert isinstance(other, ForeignTokenizer)
    ids = other.encode("Is 漢字 long?")
    assert other.decode(ids) == "Is 漢字 long?" and other.encode_batch(["Is 漢字 long?"]) == [ids]
    assert other.end_of_text == 257


def test_a_beginning_of_text_is_kept_before_context_and_whole(tmp_path: Path) -> None:
    other = open_tokenizer(foreign(tmp_path / "tokenizer.json", "<s>", "</s>", begin="<s>"))
    assert other.encode("a")[0] == 256
    [request] = encode_pairs(other, [("What?", " It")], 100)
    assert len(request.inputs) == 1 + len("What?") + len(" It") - 1 and request.inputs[0] == 256
    assert len(request.targets) == len(" It")


def test_the_end_of_a_text_is_the_models_own(tmp_path: Path) -> None:
    path = foreign(tmp_path / "tokenizer.json", "<bos>", "<eos>", "<turn>")
    assert open_tokenizer(path).end_of_text == 257
    for value in (258, [258, 257]):
        (tmp_path / "config.json").write_text(json.dumps({"eos_token_id": value}))
        assert open_tokenizer(path).end_of_text == 258
    (tmp_path / "config.json").unlink()
    with pytest.raises(InputError, match="eos_token_id"):
        open_tokenizer(foreign(tmp_path / "none.json", "<x>"))


def test_what_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no tokenizer at"):
        open_tokenizer(tmp_path / "absent.json")
    for text in ("{", "[]", '{"added_tokens": [1]}', "{}"):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match=r"x\.json is not a tokenizer"):
            open_tokenizer(tmp_path / "x.json")
