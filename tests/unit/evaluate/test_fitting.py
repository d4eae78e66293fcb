"""What a model could not score is named with model and task before any weight is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from crawl2chat.core.errors import InputError
from crawl2chat.core.progress import Progress
from crawl2chat.core.settings_evaluate import Evaluate
from crawl2chat.core.settings_training import Resources
from crawl2chat.evaluate.asking import askings
from crawl2chat.evaluate.evaluation import evaluate_models
from crawl2chat.evaluate.fitting import check_fits
from crawl2chat.evaluate.models import ModelFiles, context_of, model_in
from crawl2chat.model.huggingface import write_model
from crawl2chat.model.transformer import Transformer
from crawl2chat.tokenize.bpe import Tokenizer
from crawl2chat.train.checkpoints import Meta
from crawl2chat.train.saving import save
from crawl2chat.train.world import World


@pytest.fixture
def files(model: Transformer, tokenizer: Tokenizer, tmp_path: Path) -> ModelFiles:
    """A checkpoint whose weights are gone: what is checked needs none of them."""
    (tmp_path / "small").mkdir()
    (tmp_path / "small/tokenizer.json").write_bytes(tokenizer._data)
    meta = Meta(0, 0, model.config.to_dict(), tokenizer.digest, "test", {}, {})
    save(tmp_path / "small", model, torch.optim.SGD(model.parameters(), lr=0.0), meta, World(), "a", keep=1)
    return model_in(tmp_path / "small")


def section(folder: Path, endings: dict[str, str]) -> Evaluate:
    """Tasks of one item with a choice each; a GSM8K answer is written, and never too long."""
    (folder / "eval-tasks").mkdir()
    for task, text in endings.items():
        row = {"goal": "What?", "sol1": "It.", "sol2": text, "label": 0, "context": "It is", "continuation": text}
        row |= {"question": "What?", "answer": f"{text} #### 1"}
        name = {"piqa": "piqa_val", "lambada": "lambada_openai_test", "gsm8k": "gsm8k_test"}[task]
        (folder / f"eval-tasks/{name}.jsonl").write_text(json.dumps(row) + "\n")
    return Evaluate(tasks=list(endings), data=str(folder))


def test_a_continuation_longer_than_the_context_is_named(files: ModelFiles, tmp_path: Path) -> None:
    """Bytes that merge into fewer tokens than the context fit; the last task of all is looked at too."""
    assert context_of(files) == 256
    merged = "the history of it is long " * 12
    fits = section(tmp_path, {"gsm8k": "漢" * 400, "lambada": merged, "piqa": "漢" * 85})
    assert len(merged) > 256
    check_fits(files, askings(fits))
    (tmp_path / "long").mkdir()
    long = section(tmp_path / "long", {"gsm8k": "漢", "lambada": "it", "piqa": "漢" * 86})
    with pytest.raises(InputError, match="small, piqa: the continuation .* has 2[0-9]* tokens"):
        check_fits(files, askings(long))
    with pytest.raises(InputError, match="small, piqa"):
        evaluate_models([files], long, {}, tmp_path / "out", Resources(), Progress("evaluate"))
    assert not (tmp_path / "out").exists(), "nothing was scored"
    with pytest.raises(InputError, match="small, piqa"):
        check_fits(
            files.model_copy(update={"template": '{"kind": "house"}'}),
            [one.model_copy(update={"chat": True}) for one in askings(long)],
        )


def test_a_context_is_read_without_weights(
    files: ModelFiles, model: Transformer, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    if model.config.positions == "rotary":
        (tmp_path / "hf").mkdir()
        write_model(tmp_path / "hf", model, tokenizer.end_of_text, [tokenizer.end_of_text])
        for path in (tmp_path / "hf").glob("*.safetensors"):
            path.write_bytes(b"")
        assert context_of(model_in(tmp_path / "hf")) == 256
    (Path(files.weights) / "meta.json").write_text("{")
    with pytest.raises(InputError):
        context_of(files)
