"""Out of the house and back: transformers loads what a run exports, and reads, writes and chats as we do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.chat.exporting import run_export
from crawl2chat.chat.importing import run_import
from crawl2chat.chat.session import ChatSession, Options
from crawl2chat.cli import main
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.run import Run
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_template import OwnTemplate, encode_chat
from crawl2chat.train.checkpoints import load_for_inference, newest

from .conftest import ANSWER, QUESTION, TEXT

MESSAGES = [
    {"role": "user", "content": QUESTION},
    {"role": "assistant", "content": ANSWER},
    {"role": "user", "content": " Why 漢字?\n"},
]


@pytest.fixture(scope="module")
def transformers() -> Any:
    return pytest.importorskip("transformers", reason="not a dependency; pip install transformers to run it")


@pytest.fixture
def exported(run: Run, tmp_path: Path) -> Path:
    assert run_export(run, "finetune", tmp_path / "hf") == 0
    return tmp_path / "hf"


def test_transformers_reads_texts_as_we_do(transformers, exported: Path) -> None:
    theirs, ours = transformers.AutoTokenizer.from_pretrained(exported), Tokenizer.load(exported / "tokenizer.json")
    for text in (TEXT, ANSWER, " two  spaces\n\n\ttab", "1234567 émigré"):
        assert theirs(text)["input_ids"] == ours.encode(text)
        assert theirs.decode(ours.encode(text)) == text
    assert (theirs.bos_token_id, theirs.eos_token_id) == (ours.end_of_text, ours.special("<|end|>"))
    assert theirs.model_max_length == 128
    assert (theirs.pad_token_id, theirs.padding_side) == (ours.end_of_text, "left")
    assert {ours.special("<|user|>"), ours.special("<|end|>")} <= set(theirs.all_special_ids)
    assert theirs.decode([ours.special("<|user|>"), *ours.encode("x")], skip_special_tokens=True) == "x"


def test_the_chat_template_encodes_as_we_do(transformers, exported: Path) -> None:
    theirs, ours = transformers.AutoTokenizer.from_pretrained(exported), Tokenizer.load(exported / "tokenizer.json")
    for messages, prompt in ((MESSAGES[:2], False), (MESSAGES, True), (MESSAGES[:1], True)):
        found = theirs.apply_chat_template(messages, add_generation_prompt=prompt, return_dict=False)
        assert found == encode_chat(ours, messages, generation_prompt=prompt)[0]
    system = [{"role": "system", "content": "Be brief: 漢字."}]
    for messages in ([*system, *MESSAGES[:1]], [*system, *MESSAGES]):
        found = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert found == OwnTemplate(ours).encode(messages, generation_prompt=True)[0]
    with pytest.raises(Exception, match="message 1 is not of the role user"):
        theirs.apply_chat_template(MESSAGES[1:])
    with pytest.raises(Exception, match="message 2 is not of the role user"):
        theirs.apply_chat_template([*system, *MESSAGES[1:]])


def test_transformers_answers_several_at_once(transformers, exported: Path) -> None:
    """generation_config.json names the ids that end an answer, and what pads: shorter prompts are padded before."""
    model = transformers.AutoModelForCausalLM.from_pretrained(exported)
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    assert model.generation_config.eos_token_id == [0, 3]
    assert (model.generation_config.bos_token_id, model.generation_config.pad_token_id) == (0, 0)
    chats = [MESSAGES[:1], MESSAGES[:1]]
    prompts = [tokenizer.apply_chat_template(one, add_generation_prompt=True, tokenize=False) for one in chats]
    batch = tokenizer([prompts[0], "<|end|>" + prompts[1]], return_tensors="pt", padding=True)
    assert batch["attention_mask"][0, 0] == 0
    written = model.generate(**batch, max_new_tokens=80, do_sample=False)[:, batch["input_ids"].shape[1] :]
    assert tokenizer.decode(written[0], skip_special_tokens=True) == ANSWER


def test_transformers_gives_our_answer(transformers, run: Run, exported: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(exported)
    tokenizer = transformers.AutoTokenizer.from_pretrained(exported)
    ids = tokenizer.apply_chat_template(
        MESSAGES[:1], add_generation_prompt=True, return_tensors="pt", return_dict=False
    )
    written = model.generate(ids, max_new_tokens=80, do_sample=False)[0, ids.shape[1] :]
    options = Options.of(run.recipe, temperature=0, max_tokens=80)
    ours = ChatSession.open(run).answer(MESSAGES[:1], options).read().text
    assert tokenizer.decode(written, skip_special_tokens=True) == ours == ANSWER
    assert written[-1] == tokenizer.eos_token_id  # and it stopped by itself


def test_a_base_model_has_no_chat_template(transformers, run: Run, tmp_path: Path) -> None:
    run_export(run, "pretrain", tmp_path / "base")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "base")
    assert tokenizer.chat_template is None
    assert tokenizer.eos_token == "<|endoftext|>"


def test_a_round_trip_changes_no_weight(run: Run, exported: Path, tmp_path: Path) -> None:
    assert run_import(exported, tmp_path / "back") == 0
    checkpoint = newest(tmp_path / "back")
    assert checkpoint is not None
    model, meta = load_for_inference(checkpoint)
    first = ChatSession.open(run).model
    assert model.config == first.config
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in first.state_dict().items())
    assert meta["tokenizer_digest"] == Tokenizer.load(tmp_path / "back" / "tokenizer.json").digest


def test_nothing_is_overwritten_and_nothing_half_written(run: Run, exported: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="hf exists already"):
        run_export(run, "finetune", exported)
    config = json.loads((exported / "config.json").read_text())
    (exported / "config.json").write_text(json.dumps(config | {"attention_bias": True}))
    with pytest.raises(InputError, match="attention_bias is True"):
        run_import(exported, tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert not list(tmp_path.glob(".*"))


def test_tokenizers_that_do_not_belong(exported: Path, tmp_path: Path) -> None:
    raw = json.loads((exported / "tokenizer.json").read_text(encoding="utf-8"))
    raw["added_tokens"].append({**raw["added_tokens"][0], "id": 5000, "content": "<|more|>"})
    raw["model"]["vocab"]["<|more|>"] = 5000
    (exported / "tokenizer.json").write_text(json.dumps(raw), encoding="utf-8")
    with pytest.raises(ContractError, match="ids up to 5000, config.json vocab_size"):
        run_import(exported, tmp_path / "back")
    (exported / "tokenizer.json").write_text("{}")
    with pytest.raises(InputError, match="is not a tokenizer"):
        run_import(exported, tmp_path / "back")
    (exported / "tokenizer.json").unlink()
    with pytest.raises(InputError, match="no tokenizer at"):
        run_import(exported, tmp_path / "back")
    shutil.rmtree(exported)
    with pytest.raises(InputError, match=r"config.json is not readable"):
        run_import(exported, tmp_path / "back")


def test_a_run_without_fine_tuning_says_which_model_there_is(run: Run, tmp_path: Path) -> None:
    base = Run.open(run.folder, ("instructions=null",))
    with pytest.raises(InputError, match="no fine-tuned model") as caught:
        run_export(base, None, tmp_path / "hf")
    assert "export and serve: --stage pretrain" in caught.value.fix
    assert run_export(base, "pretrain", tmp_path / "hf") == 0


def test_the_commands(run: Run, tmp_path: Path) -> None:
    out, back = str(tmp_path / "hf"), str(tmp_path / "back")
    assert main(["export", "--run", str(run.folder), "--out", out]) == 0
    assert main(["import", out, "--out", back]) == 0
    assert main(["import", out, "--out", back]) == 2  # it is there already
    assert newest(Path(back)) is not None
