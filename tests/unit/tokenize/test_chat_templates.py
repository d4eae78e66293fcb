"""Templates by their description: made again from what a manifest keeps, with the token that ends an answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tokenizers
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.settings_tokenizer import Tokenizer as Settings
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.tokenize.chat_template import encode_chat
from crawl2chat.tokenize.chat_templates import CHATML, describe, end_of_answer, make_template
from crawl2chat.tokenize.jinja_chat import JinjaTemplate
from crawl2chat.tokenize.train import train_tokenizer
from tokenizers import AddedToken, models

TURNS = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": "A thing."}]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    settings = Settings(special_tokens=["<|im_start|>", "<|im_end|>"], vocab_size=300)
    return Tokenizer(train_tokenizer([["What is it? It is a thing."] * 4], 300, settings))


def test_none_is_our_own(tokenizer: Tokenizer) -> None:
    for description in (None, {"kind": "house"}, describe("house", tokenizer)):
        template = make_template(description, tokenizer)
        assert template.encode(TURNS) == encode_chat(tokenizer, TURNS)
        assert end_of_answer(template) == tokenizer.special("<|end|>")


def test_chatml_is_what_transformers_makes_of_its_source(tokenizer: Tokenizer) -> None:
    template = make_template(describe("chatml", tokenizer), tokenizer)
    assert end_of_answer(template) == tokenizer.special("<|im_end|>")
    theirs = JinjaTemplate(tokenizer, CHATML)
    for prompt in (False, True):
        messages = TURNS[: 1 if prompt else 2]
        assert template.encode(messages, prompt)[0] == theirs.encode(messages, prompt)[0]


def test_a_jinja_template_travels_as_json(tokenizer: Tokenizer, tmp_path: Path) -> None:
    config = {
        "chat_template": CHATML + "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}",
        "eos_token": {"content": "<|endoftext|>"},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    description = json.loads(json.dumps(describe("jinja", tokenizer, tmp_path)))
    template = make_template(description, tokenizer)
    ids, _ = template.encode(TURNS)
    assert ids == JinjaTemplate.load(tmp_path, tokenizer).encode(TURNS)[0]
    assert ids[-1] == tokenizer.end_of_text == end_of_answer(template)


def test_our_own_needs_its_special_tokens() -> None:
    """Of a tokenizer made elsewhere: named with its file before anything is encoded."""
    library = tokenizers.Tokenizer(models.BPE())
    library.add_special_tokens([AddedToken("<s>", special=True), AddedToken("<|user|>", special=True)])
    elsewhere = Tokenizer(library.to_str().encode(), "theirs/tokenizer.json", end_of_text="<s>")
    message = r"theirs/tokenizer.json has no special token <\|assistant\|>.* house"
    for make in (describe, lambda kind, tokenizer: make_template(None, tokenizer)):
        with pytest.raises(InputError, match=message) as caught:
            make("house", elsewhere)
        assert "leave finetune.data.template out" in caught.value.fix


def test_what_cannot_be_made_is_refused(tokenizer: Tokenizer) -> None:
    plain = Tokenizer(train_tokenizer([["What is it?"] * 4], 300))
    with pytest.raises(InputError, match="im_start"):
        describe("chatml", plain)
    with pytest.raises(ContractError, match="'llama'"):
        make_template({"kind": "llama"}, tokenizer)
