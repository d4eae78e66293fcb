from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.log import log
from crawl2chat.model.config import ModelConfig
from crawl2chat.train import checkpoints
from crawl2chat.train.job import Job
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World


@pytest.fixture
def folder(job: Job) -> Path:
    """Checkpoints of a finished run: steps 16 and 20 are left of 8, 16, 20."""
    run_training(job, World())
    return job.checkpoints


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip(checkpoint: Path) -> None:
    """Change a bit: the sizes stay right."""
    data = checkpoint / "__0_0.distcp"
    content = bytearray(data.read_bytes())
    content[len(content) // 2] ^= 1
    data.write_bytes(content)


def test_the_newest_are_kept_and_complete(folder: Path) -> None:
    assert names(folder) == ["step_000016", "step_000020"]
    assert checkpoints.newest(folder) == folder / "step_000020"
    meta = checkpoints.read_meta(folder / "step_000020")
    assert meta.step == 20 and meta.tokens_seen == 20 * 8 * 16 and meta.recipe == {"seed": 3}
    assert set(meta.files) == {".metadata", "__0_0.distcp"}


@pytest.mark.parametrize("damage", ["cut", "missing", "no meta", "half meta", "other bytes"])
def test_a_broken_newest_falls_back_to_the_one_before_and_is_named(
    folder: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    last = folder / "step_000020"
    data, meta = last / "__0_0.distcp", last / "meta.json"
    if damage == "cut":
        data.write_bytes(data.read_bytes()[:-1])
    elif damage == "other bytes":
        flip(last)
    elif damage == "missing":
        data.unlink()
    elif damage == "no meta":
        meta.unlink()
    else:
        meta.write_text(meta.read_text()[:40])
    log.propagate = True
    with caplog.at_level(logging.WARNING, logger="crawl2chat"):
        assert checkpoints.newest(folder) == folder / "step_000016"
    assert "step_000020" in caplog.text and "broken" in caplog.text
    with pytest.raises(InputError, match="step_000020"):
        checkpoints.load_for_inference(last)


def test_training_goes_on_from_the_one_before_to_the_same_weights(job: Job, folder: Path) -> None:
    whole, _ = checkpoints.load_for_inference(folder / "step_000020")
    (folder / "step_000020" / "meta.json").unlink()
    assert run_training(job, World()) == 16
    again, _ = checkpoints.load_for_inference(folder / "step_000020")
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("keep", [1, 2])
def test_what_was_passed_over_goes_when_a_checkpoint_is_written_which_stays(job: Job, folder: Path, keep: int) -> None:
    """The run begins anew, and is killed right after its first checkpoint."""
    for checkpoint in folder.iterdir():
        flip(checkpoint)

    def die(checkpoint: Path, row: dict[str, Any]) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(replace(job, keep=keep), World(), die)
    assert names(folder) == ["step_000008"]
    assert run_training(job, World()) == 8


def test_a_checkpoint_from_before_digests_is_complete_by_its_sizes(folder: Path) -> None:
    meta = folder / "step_000020" / "meta.json"
    raw = json.loads(meta.read_text())
    raw["files"] = {name: entry["bytes"] for name, entry in raw["files"].items()}
    del raw["guard"]
    meta.write_text(json.dumps(raw))
    assert checkpoints.newest(folder) == folder / "step_000020"
    raw["files"]["__0_0.distcp"] += 1
    meta.write_text(json.dumps(raw))
    assert checkpoints.newest(folder) == folder / "step_000016"


def test_what_a_killed_writer_left_is_no_checkpoint_and_goes_away(job: Job, folder: Path) -> None:
    left = folder / ".step_000020.deadbeef.writing"
    (folder / "step_000020").rename(left)
    assert checkpoints.newest(folder) == folder / "step_000016"
    run_training(job, World())
    assert names(folder) == ["step_000016", "step_000020"]


def test_nothing_there_is_no_checkpoint(tmp_path: Path) -> None:
    assert checkpoints.newest(tmp_path / "absent") is None


@pytest.mark.parametrize("field", ["tokenizer_digest", "data_digest", "model"])
def test_a_checkpoint_of_something_else_is_refused_naming_both(job: Job, folder: Path, field: str) -> None:
    changes = {
        "tokenizer_digest": ("u" * 64, "tttt", "uuuu"),
        "data_digest": ("e" * 64, "dddd", "eeee"),
        "model": (replace(job.model, width=32), "'width': 16", "'width': 32"),
    }
    value, found, wanted = changes[field]
    with pytest.raises(ContractError, match=field) as caught:
        run_training(replace(job, **{field: value}), World())
    assert found in str(caught.value) and wanted in str(caught.value)


def test_inference_needs_only_the_folder(folder: Path, small: ModelConfig) -> None:
    model, meta = checkpoints.load_for_inference(folder / "step_000020")
    assert not model.training and model.config == small and meta["step"] == 20
    assert model(torch.zeros(1, 4, dtype=torch.long)).shape == (1, 4, small.vocab_size)


def test_meta_is_json_for_people(folder: Path) -> None:
    raw = json.loads((folder / "step_000020" / "meta.json").read_text())
    assert raw["model"]["vocab_size"] == 97 and raw["files"]["__0_0.distcp"]["bytes"] > 0


def test_a_checkpoint_from_before_families_belongs_to_the_same_model(job: Job, folder: Path) -> None:
    """It does not name the options that came later; what it means has not changed."""
    first = {"vocab_size", "layers", "width", "heads", "kv_heads", "feed_forward", "context"}
    old = {name: value for name, value in job.model.to_dict().items() if name in first | {"qk_norm", "rope_theta"}}
    meta = checkpoints.read_meta(folder / "step_000020")
    replace(meta, model=old).check(folder, job.meta(0, 0))
    with pytest.raises(ContractError, match="model"):
        replace(meta, model=old | {"qk_norm": False}).check(folder, job.meta(0, 0))
