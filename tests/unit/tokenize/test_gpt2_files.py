"""The real GPT-2 vocabulary: the ids are those that everybody else gets from these files."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.settings_tokenizer import VocabularyFiles
from crawl2chat.pipelines.execute import check_inputs
from crawl2chat.tokenize.bpe import ASSISTANT, END, END_OF_TEXT, USER, Tokenizer
from crawl2chat.tokenize.encode import encode_documents
from crawl2chat.tokenize.gpt2_files import digests, load_gpt2_files
from crawl2chat.tokenize.probes import probes


@pytest.fixture(scope="module")
def files(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("gpt2")
    for name, packed in (("vocab.json", "encoder.json.gz"), ("merges.txt", "vocab.bpe.gz")):
        (folder / name).write_bytes(gzip.decompress((shared_data / "gpt2-bpe" / packed).read_bytes()))
    return folder / "vocab.json", folder / "merges.txt"


@pytest.fixture(scope="module")
def gpt2(files: tuple[Path, Path]) -> Tokenizer:
    return load_gpt2_files(*files)


def test_known_ids(gpt2: Tokenizer) -> None:
    assert gpt2.encode("Hello world") == [15496, 995]
    assert gpt2.encode("The quick brown fox jumps over the lazy dog") == [
        464,
        2068,
        7586,
        21831,
        18045,
        625,
        262,
        16931,
        3290,
    ]
    assert gpt2.end_of_text == gpt2.special(END_OF_TEXT) == 50256
    assert [gpt2.special(name) for name in (USER, ASSISTANT, END)] == [50257, 50258, 50259]
    assert gpt2.vocab_size == 50260


def test_ids_are_those_of_transformers_and_tiktoken(
    files: tuple[Path, Path], gpt2: Tokenizer, declarations: dict[str, str], web_texts: list[str]
) -> None:
    texts = [*probes(), *declarations.values(), *web_texts]
    tokens, counts = encode_documents(gpt2, texts)
    assert gpt2.encoder.name == "compiled"
    ours = [one[:-1].tolist() for one in np.split(tokens, np.cumsum(counts)[:-1])]

    tiktoken = pytest.importorskip("tiktoken")
    load = pytest.importorskip("tiktoken.load")
    ranks = load.data_gym_to_mergeable_bpe_ranks(vocab_bpe_file=str(files[1]), encoder_json_file=str(files[0]))
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
    theirs = tiktoken.Encoding("gpt2", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})
    assert theirs.encode_ordinary_batch(texts) == ours

    transformers = pytest.importorskip("transformers")
    fast = transformers.GPT2TokenizerFast.from_pretrained(str(files[0].parent))
    plain = [(text, ids) for text, ids in zip(texts, ours, strict=True) if "<|" not in text]  # theirs looks for these
    assert fast([text for text, _ in plain])["input_ids"] == [ids for _, ids in plain]


def test_own_special_tokens_come_behind_the_chat_templates(files: tuple[Path, Path]) -> None:
    tokenizer = load_gpt2_files(*files, special_tokens=["<|tool|>"])
    assert tokenizer.special("<|tool|>") == 50260 and tokenizer.vocab_size == 50261
    assert max(tokenizer.encode("<|tool|>")) < 50256
    with pytest.raises(InputError, match=r"'the' is what .*merges\.txt makes of ordinary text[\s\S]*special_tokens"):
        load_gpt2_files(*files, special_tokens=["the"])


def test_a_changed_file_has_another_digest(files: tuple[Path, Path], tmp_path: Path) -> None:
    named = VocabularyFiles(vocab=str(files[0]), merges=str(tmp_path / "merges.txt"))
    with pytest.raises(
        InputError, match=r"tokenizer\.files\.merges: .*merges\.txt: No such file[\s\S]*correct the path"
    ):
        digests(named)
    found = []
    for text in (files[1].read_bytes(), files[1].read_bytes()[:-40]):
        (tmp_path / "merges.txt").write_bytes(text)
        found.append(digests(named))
    assert set(found[0]) == {named.vocab, named.merges}
    assert found[0][named.vocab] == found[1][named.vocab] and found[0][named.merges] != found[1][named.merges]


def test_wrong_files_stop_a_run_before_its_first_stage(files: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "pages.jsonl").write_text('{"text": "one"}\n')
    (tmp_path / "vocab.json").write_text("{}")
    source = {"kind": "jsonl", "name": "web", "paths": [str(tmp_path / "pages.jsonl")]}
    for vocab, says in (("absent.json", r"tokenizer\.files\.vocab: .*absent"), ("vocab.json", "no token for 256 of")):
        tokenizer = {"files": {"vocab": str(tmp_path / vocab), "merges": str(files[1])}}
        with pytest.raises(InputError, match=says):
            check_inputs(Recipe.model_validate({"name": "r", "sources": [source], "tokenizer": tokenizer}))


def test_every_text_comes_back(gpt2: Tokenizer) -> None:
    texts = probes()
    assert [gpt2.decode(gpt2.encode(text)) for text in texts] == texts
    assert gpt2.encode("<|endoftext|>")[0] != 50256
    assert Tokenizer(gpt2.__reduce__()[1][0]).digest == gpt2.digest


def test_gzipped_files_and_broken_ones(files: tuple[Path, Path], shared_data: Path, tmp_path: Path) -> None:
    packed = shared_data / "gpt2-bpe"
    assert load_gpt2_files(packed / "encoder.json.gz", packed / "vocab.bpe.gz").encode("Hello world") == [15496, 995]
    with pytest.raises(InputError, match="absent.json cannot be read"):
        load_gpt2_files(tmp_path / "absent.json", files[1])
    with pytest.raises(InputError, match="is not JSON"):
        load_gpt2_files(files[1], files[1])
    (tmp_path / "list.json").write_text("[1]")
    with pytest.raises(InputError, match="does not map tokens to ids"):
        load_gpt2_files(tmp_path / "list.json", files[1])
    vocab = json.loads(files[0].read_text("utf-8"))
    (tmp_path / "less.json").write_text(json.dumps({token: one for token, one in vocab.items() if token != "Ġthe"}))
    with pytest.raises(InputError, match=r"merges .* but .*less\.json has no token 'Ġthe'"):
        load_gpt2_files(tmp_path / "less.json", files[1])
    (tmp_path / "no_bytes.json").write_text(json.dumps({"a": 0}))
    with pytest.raises(InputError, match="no token for 255 of the 256 bytes"):
        load_gpt2_files(tmp_path / "no_bytes.json", files[1])
    (tmp_path / "gap.json").write_text(json.dumps({token: one + (one > 300) for token, one in vocab.items()}))
    with pytest.raises(InputError, match="gap.json does not give its 50257 tokens the ids 0 to 50256, each once"):
        load_gpt2_files(tmp_path / "gap.json", files[1])
    (tmp_path / "triple.txt").write_text("#version: 0.2\na b\na b c\n")
    with pytest.raises(InputError, match="merge 2 is 'a b c', not a pair"):
        load_gpt2_files(files[0], tmp_path / "triple.txt")
