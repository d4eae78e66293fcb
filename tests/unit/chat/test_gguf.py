"""Models with their tokenizers as GGUF files: transformers reads the same from them, and they come back."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from crawl2chat.chat.exporting import run_export
from crawl2chat.chat.gguf_export import write_gguf_model
from crawl2chat.chat.importing import run_import
from crawl2chat.chat.session import ChatSession, Options
from crawl2chat.cli import main
from crawl2chat.core.errors import ContractError, InputError, StageError
from crawl2chat.core.run import Run
from crawl2chat.core.settings_model import Model
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.model.config import ModelConfig
from crawl2chat.model.gguf_file import GgufFile, write_gguf
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_template import encode_chat
from crawl2chat.tokenize.hf_files import CHAT_TEMPLATE, tokenizer_config
from crawl2chat.tokenize.train import train_tokenizer
from crawl2chat.train.lora import Lora, inject, lora_parameters
from crawl2chat.train.lora_file import lora_state, write_lora

from .conftest import ANSWER, QUESTION, TEXT

MESSAGES = [{"role": "user", "content": QUESTION}]
SHAPE = {"layers": 2, "width": 64, "heads": 4, "kv_heads": 2, "feed_forward": 96, "context": 32}
Session = Callable[..., ChatSession]


@pytest.fixture(scope="module")
def transformers() -> Any:
    pytest.importorskip("accelerate", reason="what transformers needs to read GGUF files")
    return pytest.importorskip("transformers", reason="not a dependency; pip install transformers to run it")


@pytest.fixture(scope="module")
def session() -> Session:
    """session(family, pattern=, **settings): random weights behind a tokenizer of 300 tokens."""

    def make(family: str, pattern: str = "gpt2", **settings: Any) -> ChatSession:
        texts = [["The history of it is short. What is an acid? An acid is sour, 12,345 times."] * 4]
        tokenizer = Tokenizer(train_tokenizer(texts, 300, Settings(pattern=pattern)))
        shape = Model.model_validate(SHAPE | {"family": family} | settings)
        model = Transformer(ModelConfig.from_settings(shape, tokenizer.vocab_size))
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for name, one in model.named_parameters():
                gain = one.dim() == 1 and name.endswith("weight")
                one.normal_(1.0 if gain else 0.0, 0.1, generator=generator)
        return ChatSession(model.eval(), tokenizer)

    return make


def write(out: Path, session: ChatSession, encoding: str = "f32", chat: bool = True, name: str = "m") -> None:
    config = tokenizer_config(session.context, chat)
    write_gguf_model(out, session.model, session.tokenizer, config, {"name": name}, encoding)


@pytest.mark.parametrize(
    ("family", "settings"),
    [
        ("llama", {}),
        ("llama", {"tied_embeddings": False, "kv_heads": 4}),
        ("qwen3", {"head_size": 128}),  # transformers takes no other from a GGUF
        ("gpt2", {"kv_heads": 4, "context": 1024, "feed_forward": 256}),  # nor other contexts and inner widths
    ],
)
def test_transformers_computes_the_same_from_the_file(
    family: str, settings: dict, transformers, session: Session, tmp_path: Path
) -> None:
    ours = session(family, **settings)
    write(tmp_path / "m.gguf", ours)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32)
    tokens = torch.randint(ours.model.config.vocab_size, (2, 32), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        wanted = ours.model(tokens)
        assert wanted.std() > 0.1
        torch.testing.assert_close(theirs.eval()(tokens).logits, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("family", "pattern"), [("llama", "gpt4"), ("gpt2", "gpt2")])
def test_transformers_reads_texts_as_we_do_from_the_file(
    family: str, pattern: str, transformers, session: Session, tmp_path: Path
) -> None:
    ours = session(family, pattern, kv_heads=4)
    write(tmp_path / "m.gguf", ours)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    for text in (TEXT, ANSWER, " two  spaces\n\n\ttab", "1234567 émigré's"):
        assert theirs(text, add_special_tokens=False)["input_ids"] == ours.tokenizer.encode(text)
    found = theirs.apply_chat_template(MESSAGES, add_generation_prompt=True, return_dict=False)
    assert found == encode_chat(ours.tokenizer, MESSAGES, generation_prompt=True)[0]


def test_metadata_and_tokenizer_are_complete(session: Session, tmp_path: Path) -> None:
    ours = session("qwen3", "gpt4")
    write(tmp_path / "m.gguf", ours, "q8_0", chat=True, name="small")
    found, size = GgufFile(tmp_path / "m.gguf").metadata, ours.tokenizer.vocab_size
    assert {key: value for key, value in found.items() if key.startswith("general.")} == {
        "general.architecture": "qwen3", "general.type": "model", "general.name": "small",
        "general.size_label": gguf.size_label(ours.model.config.parameters(), 0, 0, 0),
        "general.file_type": 7, "general.quantization_version": 2,
    }  # fmt: skip
    assert {key: value for key, value in found.items() if key.startswith("qwen3.")} == {
        "qwen3.context_length": 32, "qwen3.embedding_length": 64, "qwen3.block_count": 2,
        "qwen3.feed_forward_length": 96, "qwen3.attention.head_count": 4, "qwen3.attention.head_count_kv": 2,
        "qwen3.attention.key_length": 16, "qwen3.attention.value_length": 16, "qwen3.rope.dimension_count": 16,
        "qwen3.rope.freq_base": 10_000.0, "qwen3.attention.layer_norm_rms_epsilon": 1e-6, "qwen3.vocab_size": size,
    }  # fmt: skip
    tokens = {key.removeprefix("tokenizer.ggml."): value for key, value in found.items() if "tokenizer.ggml." in key}
    assert len(tokens.pop("tokens")) == len(tokens.pop("token_type")) == size
    assert len(tokens.pop("merges")) == size - 256 - 4
    assert tokens == {
        "model": "gpt2", "pre": "llama-bpe", "bos_token_id": 0, "eos_token_id": 3, "eot_token_id": 3,
        "padding_token_id": 0, "add_bos_token": False, "add_eos_token": False, "add_space_prefix": False,
    }  # fmt: skip
    assert found["tokenizer.chat_template"] == CHAT_TEMPLATE
    assert found["tokenizer.huggingface.json"] == ours.tokenizer.data.decode()
    write(tmp_path / "base.gguf", ours, "f16", chat=False, name="base")
    base = GgufFile(tmp_path / "base.gguf").metadata
    assert "tokenizer.chat_template" not in base and base["general.file_type"] == 1
    assert (base["tokenizer.ggml.eos_token_id"], base["tokenizer.ggml.add_bos_token"]) == (0, True)


def test_the_commands_there_and_back(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, back, again = (str(tmp_path / name) for name in ("small.gguf", "back", "again.gguf"))
    assert main(["export", "--run", str(run.folder), "--format", "gguf", "--out", out]) == 0
    assert "gpt4-marks; llama-bpe is named" in capsys.readouterr().err
    assert main(["import", out, "--out", back]) == 0
    first, second = ChatSession.open(run), ChatSession.open(Path(back))
    assert second.model.config == first.model.config
    state = second.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in first.model.state_dict().items())
    assert second.tokenizer.digest == first.tokenizer.digest  # the file carries the tokenizer.json itself
    assert second.source["name"] == "small"
    options = Options.of(run.recipe, temperature=0, max_tokens=80)
    assert second.answer(MESSAGES, options).read().text == ANSWER
    capsys.readouterr()
    assert main(["generate", "--model", back, "The history of", "--temperature", "0", "--max-tokens", "3"]) == 0
    assert capsys.readouterr().out.startswith("The history of")
    assert main(["export", "--model", back, "--format", "gguf", "--out", again]) == 0
    assert Path(again).read_bytes() == Path(out).read_bytes()
    assert main(["export", "--model", back, "--format", "gguf", "--out", again]) == 2  # it is there already
    assert main(["export", "--run", str(run.folder), "--type", "f16", "--out", str(tmp_path / "hf")]) == 2


def test_a_file_without_a_tokenizer_json_gives_the_same_ids(session: Session, tmp_path: Path, monkeypatch) -> None:
    ours = session("llama", "gpt4")
    write(tmp_path / "m.gguf", ours)
    monkeypatch.setattr("crawl2chat.chat.gguf_import._own_json", lambda *_: None)
    run_import(tmp_path / "m.gguf", tmp_path / "back")
    made = ChatSession.open(tmp_path / "back")
    assert made.tokenizer.digest != ours.tokenizer.digest
    for text in (TEXT, ANSWER, "1234567 \n\n x"):
        assert made.tokenizer.encode(text) == ours.tokenizer.encode(text)
    assert made.stop_ids == {0, 3} and made.model.config == ours.model.config


def test_a_tokenizer_json_that_says_otherwise_is_not_taken(session: Session, tmp_path: Path) -> None:
    ours = session("llama", "gpt4")
    write(tmp_path / "m.gguf", ours)
    data, mine = (tmp_path / "m.gguf").read_bytes(), ours.tokenizer.data
    token = max(json.loads(mine)["model"]["vocab"], key=len).encode()
    assert mine in data and len(token) > 4
    (tmp_path / "m.gguf").write_bytes(data.replace(mine, mine.replace(token, token[:-1] + b"Q")))
    run_import(tmp_path / "m.gguf", tmp_path / "back")
    found = Tokenizer.load(tmp_path / "back" / "tokenizer.json")
    assert found.encode("Is history short?") == ours.tokenizer.encode("Is history short?")
    assert token.decode() in json.loads(found.data)["model"]["vocab"]


def test_lora_goes_into_the_weights(run: Run, tmp_path: Path) -> None:
    model = ChatSession.open(run).model
    lora = Lora(rank=2, targets=("query", "down"))
    inject(model, lora)
    with torch.no_grad():
        for _, one in lora_parameters(model):
            one.normal_(0, 0.1, generator=torch.Generator().manual_seed(one.shape[0]))
    write_lora(tmp_path / "lora.safetensors", lora_state(model), lora, model.config)
    file = str(tmp_path / "lora.safetensors")
    out = str(tmp_path / "m.gguf")
    assert main(["export", "--run", str(run.folder), "--format", "gguf", "--lora", file, "--out", out]) == 0
    run_import(tmp_path / "m.gguf", tmp_path / "back")
    tokens = torch.randint(model.config.vocab_size, (1, 20), generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        merged, plain = ChatSession.open(tmp_path / "back").model(tokens), ChatSession.open(run).model(tokens)
        torch.testing.assert_close(merged, model.eval()(tokens), atol=1e-4, rtol=0)
        assert (merged - plain).abs().max() > 0.1


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("tokenizer.ggml.tokens", lambda tokens: [*tokens[:-1], "other"]),
        ("tokenizer.ggml.token_type", lambda types: types[::-1]),
        ("tokenizer.ggml.merges", lambda merges: merges[1:]),
        ("tokenizer.ggml.pre", lambda _: "default"),
        ("tokenizer.ggml.eos_token_id", lambda one: one + 1),
        ("tokenizer.ggml.add_bos_token", lambda one: not one),
        ("tokenizer.chat_template", lambda text: text.replace("user", "User")),
        ("tokenizer.huggingface.json", lambda text: text.replace("BPE", "bpe")),
        ("tokenizer.ggml.unknown_token_id", lambda _: 1),
        ("tokenizer.ggml.padding_token_id", lambda _: None),
        ("general.name", lambda _: "another"),
    ],
)
def test_a_file_that_says_otherwise_of_its_tokenizer_gets_no_name(
    key: str, change: Callable[[Any], Any], session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def written(path: Path, kind: str, metadata: dict[str, Any], tensors: Any) -> None:
        changed = metadata | {key: change(metadata.get(key))}
        write_gguf(path, kind, {name: one for name, one in changed.items() if one is not None}, tensors)

    monkeypatch.setattr("crawl2chat.chat.gguf_export.write_gguf", written)
    with pytest.raises(StageError, match=f"reads back otherwise than it was written: {re.escape(key)} is "):
        write(tmp_path / "m.gguf", session("llama"))
    assert not list(tmp_path.iterdir())


def test_nothing_half_written_is_left(session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = session("llama")
    with torch.no_grad():
        ours.model.blocks[0].feed_forward.up.weight[0, 0] = 1e6  # pyright: ignore
    with pytest.raises(InputError, match="more than F16 can"):
        write(tmp_path / "m.gguf", ours, "f16")

    def otherwise(*_: Any) -> None:
        raise StageError("reads back otherwise")

    monkeypatch.setattr("crawl2chat.chat.gguf_export.check_written", otherwise)
    with pytest.raises(StageError):
        write(tmp_path / "m.gguf", ours)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("pattern", "says"), [(r"\p{L}+|\s+|\S", "the tokenizer cuts text by tokenizer.pattern"), ("gpt2", "")]
)
def test_a_tokenizer_that_gguf_cannot_express(pattern: str, says: str, session: Session, tmp_path: Path) -> None:
    ours = session("llama", pattern)
    if not says:
        return write(tmp_path / "m.gguf", ours)
    with pytest.raises(InputError, match=says):
        write(tmp_path / "m.gguf", ours)
    return None


def test_tokenizers_of_other_kinds_are_refused(session: Session, tmp_path: Path) -> None:
    write(tmp_path / "m.gguf", session("llama"), "f32")
    data = (tmp_path / "m.gguf").read_bytes()
    key = b"tokenizer.ggml.model"
    place = data.index(key) + len(key) + 12
    assert data[place : place + 4] == b"gpt2"
    (tmp_path / "m.gguf").write_bytes(data[:place] + b"bert" + data[place + 4 :])
    with pytest.raises(InputError, match="tokenizer.ggml.model is 'bert'.*\n.*SmolLM"):
        run_import(tmp_path / "m.gguf", tmp_path / "back")
    (tmp_path / "m.gguf").write_bytes(data.replace(b"tokenizer.ggml.merges", b"tokenizer.ggml.mergez"))
    with pytest.raises(InputError, match="tokenizer.ggml.merges is missing"):
        run_import(tmp_path / "m.gguf", tmp_path / "back")
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("negative", [False, True])
def test_a_special_token_that_is_none_of_the_tokens(negative: bool, session: Session, tmp_path: Path) -> None:
    """In particular no negative one, which would be counted from the end."""
    ours = session("llama")
    size = ours.tokenizer.vocab_size
    index, kind = (-1, gguf.GGUFValueType.INT32) if negative else (size, gguf.GGUFValueType.UINT32)
    write(tmp_path / "m.gguf", ours)
    data, key = (tmp_path / "m.gguf").read_bytes(), b"tokenizer.ggml.eos_token_id"
    place = data.index(key) + len(key)
    assert data[place : place + 8] == struct.pack("<II", gguf.GGUFValueType.UINT32, 3)
    changed = struct.pack("<I", kind) + index.to_bytes(4, "little", signed=index < 0)
    (tmp_path / "m.gguf").write_bytes(data[:place] + changed + data[place + 8 :])
    with pytest.raises(InputError, match=f"m.gguf: tokenizer.ggml.eos_token_id is {index}, of {size} tokens"):
        run_import(tmp_path / "m.gguf", tmp_path / "back")
    assert not (tmp_path / "back").exists()


def test_folders_that_hold_something_else(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "a.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"is a folder of 1 GGUF files\n.*a\.gguf"):
        run_import(folder, tmp_path / "back")
    run_export(run, "finetune", tmp_path / "hf")
    (tmp_path / "hf" / "model.safetensors").rename(tmp_path / "hf" / "pytorch_model.bin")
    with pytest.raises(
        InputError, match=r"pytorch_model.bin is a pickle, which can run any code.*\n.*only safetensors"
    ):
        run_import(tmp_path / "hf", tmp_path / "back")
    with pytest.raises(InputError, match="holds no model\n.*crawl2chat import"):
        ChatSession.open(folder)
    with pytest.raises(InputError, match=r"no folder at .*absent\n.*crawl2chat import"):
        ChatSession.open(tmp_path / "absent")


def test_an_imported_folder_with_another_tokenizer(run: Run, tmp_path: Path) -> None:
    run_export(run, "finetune", tmp_path / "hf")
    assert (
        ChatSession.open(tmp_path / "hf").answer(MESSAGES, Options.of(None, temperature=0, max_tokens=80)).read().text
    )
    run_import(tmp_path / "hf", tmp_path / "back")
    path = tmp_path / "back" / "tokenizer.json"
    path.write_text(path.read_text(encoding="utf-8").replace("\n", " ") + " ", encoding="utf-8")
    with pytest.raises(ContractError, match="belongs to the tokenizer .*, .*tokenizer.json is "):
        ChatSession.open(tmp_path / "back")


def test_a_shorter_context(run: Run, session: Session, tmp_path: Path) -> None:
    run_export(run, "finetune", tmp_path / "hf")
    assert main(["import", str(tmp_path / "hf"), "--out", str(tmp_path / "short"), "--context", "96"]) == 0
    short = ChatSession.open(tmp_path / "short")
    assert short.model.config.context == short.context == 96
    assert short.answer(MESSAGES, Options.of(None, temperature=0, max_tokens=80)).read().text == ANSWER
    for wrong in (4, 129):
        with pytest.raises(InputError, match=f"--context {wrong}: the model has 128 rotary positions"):
            run_import(tmp_path / "hf", tmp_path / "back", wrong)
    write(tmp_path / "gpt2.gguf", session("gpt2", kv_heads=4))
    with pytest.raises(InputError, match="the model has 32 learned positions"):
        run_import(tmp_path / "gpt2.gguf", tmp_path / "back", 16)
    assert not (tmp_path / "back").exists()


def test_a_model_without_a_chat_template_does_not_chat(run: Run, tmp_path: Path) -> None:
    run_export(run, "pretrain", tmp_path / "base")
    run_import(tmp_path / "base", tmp_path / "back")
    session = ChatSession.open(tmp_path / "back")
    with pytest.raises(InputError, match="has no chat template"):
        session.answer(MESSAGES, Options.of(None))
    text = session.continue_text("The history of", Options.of(None, temperature=0, max_tokens=60)).read().text
    assert f"The history of{text}" == TEXT
