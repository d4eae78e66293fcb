"""What a trial's process does, without Ray: lengths of one run, checkpoints, reports."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from crawl2chat.core.settings_model import Model, Transfer
from crawl2chat.core.settings_optimizer import Optimizer
from crawl2chat.tokenize.bpe import SPECIAL_TOKENS, Tokenizer
from crawl2chat.tokenize.shards import write_shard
from crawl2chat.tune.trial import Trial
from crawl2chat.tune.trial_run import TrialRun
from pydantic import ValidationError
from tokenizers import Tokenizer as Library
from tokenizers import decoders, models, pre_tokenizers, trainers

SHAPE = Model(
    family="llama", layers=1, width=16, heads=1, kv_heads=1, feed_forward=32, context=16,
    transfer=Transfer(base_width=8, base_layers=2),
)  # fmt: skip


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    folder = tmp_path_factory.mktemp("data")
    library = Library(models.BPE())
    library.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    library.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=list(SPECIAL_TOKENS), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    words = np.random.default_rng(0).choice(["one", "two", "three", "four"], size=4000)
    library.train_from_iterator([" ".join(words)], trainer)
    library.save(str(folder / "tokenizer.json"))
    tokenizer = Tokenizer.load(folder / "tokenizer.json")
    paths = {}
    for split, part in (("train", words[400:]), ("validation", words[:400])):
        ids = [*tokenizer.encode(" ".join(part)), tokenizer.end_of_text]
        paths[split] = folder / split / "w-00000.arrow"
        write_shard(paths[split], [split], np.array(ids, dtype=np.uint16), np.array([len(ids)]), tokenizer, split)
    return Trial(
        row="s", phase="ladder", model=SHAPE, tokenizer=str(folder / "tokenizer.json"),
        train_paths=[str(paths["train"])], validation_paths=[str(paths["validation"])], validation_rows=8,
        lengths=[640, 1280, 2560], report_tokens=256, batch=4, warmup_share=0.2, precision="fp32", seed=1,
        optimizer=Optimizer(learning_rate=1e-2, schedule="wsd", min_lr_ratio=0, decay_share=0.25),
        checkpoint_seconds=0,
    )  # fmt: skip


def told(trial: Trial, checkpoint: Path | None = None, keep: Path | None = None) -> list[dict[str, Any]]:
    """All reports of a run; with `keep` every checkpoint stays in a folder named after its report's number."""
    reports: list[dict[str, Any]] = []

    def tell(report: dict[str, Any], save: Any) -> None:
        reports.append(report)
        if save is not None and keep is not None:
            (keep / str(len(reports))).mkdir()
            save(keep / str(len(reports)))

    TrialRun(trial, tell, checkpoint).run()
    return reports


def losses(reports: list[dict[str, Any]]) -> list[tuple[float, float]]:
    return [(one["tokens"], one["validation_loss"]) for one in json.loads(reports[-1]["lengths"])]


def test_a_length_of_a_ladder_is_what_a_run_of_that_length_would_be(trial: Trial) -> None:
    ladder = losses(told(trial))
    assert [tokens for tokens, _ in ladder] == [640, 1280, 2560]
    for tokens, loss in ladder:
        # the ladder's warm-up is that of its shortest length
        alone = trial.model_copy(update={"lengths": [tokens], "warmup_share": 0.2 * 640 / tokens})
        assert losses(told(alone)) == [(tokens, loss)], "to the bit"


def test_reports_count_the_branches_too_and_the_curve_does_not(trial: Trial) -> None:
    reports = told(trial)
    ends = [(one["branch"], one["at"], one["tokens"]) for one in reports if one["branch"]]
    assert [branch for branch, _, _ in ends] == [1, 1]
    extra = 10 // 4 + 20 // 4  # steps of the two decays, 0.25 of 10 and of 20, rounded
    assert reports[-1]["tokens"] == 2560 + extra * 64 and reports[-1]["at"] == 2560
    assert reports[-1]["step"] == 40 + extra
    tokens = [one["tokens"] for one in reports]
    assert tokens == sorted(tokens)
    assert all(one["own_cpu_seconds"] > 0 and one["state"] == "ok" for one in reports)


def test_from_any_checkpoint_the_run_ends_as_if_it_had_not_stopped(trial: Trial, tmp_path: Path) -> None:
    whole = losses(told(trial, keep=tmp_path))
    kept = sorted(tmp_path.iterdir(), key=lambda path: int(path.name))
    assert len(kept) >= 8
    for folder in (kept[0], kept[len(kept) // 2], kept[-1]):
        reports = told(trial, folder)
        assert all(one["resumed"] for one in reports)
        assert losses(reports) == whole, folder.name


def test_a_rate_that_is_too_high_ends_the_trial_with_a_report(trial: Trial) -> None:
    reports = told(trial.with_values({"learning_rate": 1e9}))
    assert [one["state"] for one in reports][-1] == "diverged"
    assert not np.isfinite(reports[-1]["validation_loss"])
    assert len(reports) < 5, "and costs nothing more"


def test_values_of_the_search_reach_the_run(trial: Trial) -> None:
    changed = trial.with_values({"batch": 8.0, "weight_decay": 0.5, "warmup_share": 0.5, "seed": 4, "mixture.w": 2.0})
    assert (changed.batch, changed.optimizer.weight_decay, changed.seed) == (8, 0.5, 4)
    assert changed.settled().optimizer.warmup_steps == 3, "half of the 5 steps of the shortest length"
    assert changed.mixture is not None and changed.mixture.weights == {"w": 2.0}
    assert changed.name == "s-transfer-batch8-wd0.5-warmup0.5-seed4-mixture.w2"
    assert losses(told(changed)) != losses(told(trial))


def test_weights_of_sources_reach_the_data(trial: Trial, tmp_path: Path) -> None:
    """Of two sources one is what validation is of, the other one token over and over."""
    tokenizer = Tokenizer.load(Path(trial.tokenizer))
    noise = np.full(3000, tokenizer.encode("x")[0], dtype=np.uint16)
    noise[-1] = tokenizer.end_of_text
    path = tmp_path / "x-00000.arrow"
    write_shard(path, ["x"], noise, np.array([noise.size]), tokenizer, "train")
    both = trial.model_copy(update={"train_paths": [*trial.train_paths, str(path)], "lengths": [2560]})
    much, little = (
        losses(told(both.with_values({"mixture.w": share, "mixture.x": 10 - share})))[0][1] for share in (9, 1)
    )
    assert much < little - 0.2


def test_a_learning_rate_moves_the_rates_of_parts(trial: Trial) -> None:
    """Else the embedding, the head and Muon's matrices would stay where they are, and a search would miss them."""
    own = {"embedding_learning_rate": 4e-2, "head_learning_rate": 5e-3, "muon": {"learning_rate": 0.2}}
    parts = trial.model_copy(
        update={"optimizer": Optimizer.model_validate(trial.optimizer.model_dump(exclude_unset=True) | own)}
    )
    changed = parts.with_values({"learning_rate": 5e-3, "weight_decay": 0.5}).optimizer
    assert changed.muon is not None and changed.weight_decay == 0.5
    rates = (changed.learning_rate, changed.embedding_learning_rate, changed.head_learning_rate)
    assert (*rates, changed.muon.learning_rate) == (5e-3, 2e-2, 2.5e-3, 0.1)
    kept = parts.with_values({"weight_decay": 0.5}).optimizer
    assert kept == parts.optimizer.model_copy(update={"weight_decay": 0.5})
    plain = trial.with_values({"learning_rate": 5e-3}).optimizer
    assert (plain.embedding_learning_rate, plain.head_learning_rate, plain.muon) == (None, None, None)


@pytest.mark.parametrize(
    "values", [{"batch": -3}, {"batch": 0.4}, {"warmup_share": 5}, {"warmup_share": -1.0}, {"learning_rate": 0.0}]
)
def test_values_that_are_none(trial: Trial, values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(values))):
        trial.with_values(values)
