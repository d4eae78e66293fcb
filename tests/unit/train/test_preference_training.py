"""Preferences through the training loop: what DPO begins at, what it learns, resumed to the bit, the same on two ranks;
and a reward model."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from crawl2chat.core.settings_parallel import Parallel
from crawl2chat.core.units import Unit
from crawl2chat.train import checkpoints
from crawl2chat.train.divergence import held_out_divergence
from crawl2chat.train.job import Job
from crawl2chat.train.loader import IGNORED
from crawl2chat.train.lora import Lora
from crawl2chat.train.metrics import read_metrics
from crawl2chat.train.outcome import result
from crawl2chat.train.preference import (
    Objective,
    pair_log_probs,
    preference_losses,
    preference_metrics,
    preference_sums,
)
from crawl2chat.train.preference_encoding import EncodedPair
from crawl2chat.train.preference_file import PairRows, write_pairs
from crawl2chat.train.preference_objective import PreferenceObjective, RewardObjective, flat_pairs
from crawl2chat.train.prefetch import rank_batch
from crawl2chat.train.reference import reference_units, reference_work
from crawl2chat.train.reward import RewardModel, answer_reward
from crawl2chat.train.variant import Variant
from crawl2chat.train.watch import without_figures
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World

from .ranks import on_ranks

ROWS = 4


def pairs(number: int) -> list[EncodedPair]:
    """Answers of odd tokens are chosen over answers of even ones; prompts and lengths of all kinds."""
    rng = np.random.default_rng(4)

    def answer(odd: int) -> list[int]:
        return [*(2 * rng.integers(1, 40, int(rng.integers(1, 6))) + odd).tolist(), 95]

    return [
        EncodedPair(rng.integers(1, 97, int(rng.integers(2, 6))).tolist(), answer(1), answer(0)) for _ in range(number)
    ]


@pytest.fixture
def base(job: Job) -> Path:
    """The checkpoint that alignment begins at."""
    run_training(job, World())
    return job.checkpoints / "step_000020"


def referenced(folder: Path, side: str, made: list[EncodedPair], base: Path) -> list[Path]:
    write_pairs(folder / "pairs" / f"{side}.arrow", [(f"p.json:{n}", one) for n, one in enumerate(made, 1)])
    units = reference_units(side, len(made), workers=3)
    config = {"checkpoint": str(base), "precision": "fp32", "rows": ROWS}
    reports = [reference_work(Unit.model_validate(unit.model_dump()), folder, config) for unit in units]
    assert sum(report.counters["pairs"] for report in reports) == len(made) and len(units) == 3
    return [folder / report.files[0].path for report in reports]


@pytest.fixture
def aligned(job: Job, base: Path, tmp_path: Path) -> Job:
    folder = tmp_path / "align"
    folder.mkdir()
    opened = {}
    for side, made in (("train", pairs(40)), ("validation", pairs(13))):
        reference = referenced(folder, side, made, base)
        opened[side] = partial(PairRows, folder / "pairs" / f"{side}.arrow", reference)
    return replace(
        job,
        folder=folder,
        initial=base,
        validate_first=True,
        open_data=opened["train"],
        open_validation=opened["validation"],
        objective=PreferenceObjective(Objective(beta=0.5)),
        plan=replace(job.plan, steps=12, checkpoint_every=4, log_every=1, validate_every=6),
    )


def rows(job: Job) -> list[dict[str, Any]]:
    return [without_figures(row) for row in read_metrics(job.folder)]


def validated(job: Job) -> list[dict[str, Any]]:
    return [row for row in rows(job) if "validation_loss" in row]


def weights(job: Job) -> dict[str, torch.Tensor]:
    path = checkpoints.newest(job.checkpoints)
    assert path is not None
    return checkpoints.load_for_inference(path)[0].state_dict()


def one_rank(world: World, job: Job) -> None:
    run_training(job, world)


def test_looks_on_the_way_change_no_bit(aligned: Job, tmp_path: Path) -> None:
    def look(model: torch.nn.Module, world: World) -> dict[str, float]:
        with torch.no_grad():
            return {"eval/made/figure": float(model(torch.tensor([[1, 2, 3]])).mean())}

    plan = replace(aligned.plan, probe_every=5)
    watched = replace(aligned, folder=tmp_path / "watched", probe=look, plan=plan)
    for job in (aligned, watched):
        run_training(job, World())
    looked = [row for row in rows(watched) if "eval/made/figure" in row]
    assert [row["step"] for row in looked] == [0, 5, 10, 12]
    assert [row for row in rows(watched) if row not in looked] == rows(aligned)
    mine, theirs = weights(aligned), weights(watched)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_rows_are_chosen_answers_and_then_rejected_ones(tmp_path: Path) -> None:
    made = pairs(5)
    write_pairs(tmp_path / "p.arrow", [("p.json:1", one) for one in made])
    data = PairRows(tmp_path / "p.arrow")
    inputs, targets = data.batch(np.arange(5))
    tokens, answer = flat_pairs(inputs, targets, torch.device("cpu"))
    expected = [(one.prompt, one.chosen) for one in made] + [(one.prompt, one.rejected) for one in made]
    assert tokens.shape == answer.shape == (10, -(-max(one.longest for one in made) // 16) * 16)
    for row, (prompt, spoken) in enumerate(expected):
        padding = tokens.shape[1] - len(prompt) - len(spoken)
        assert tokens[row].tolist() == [*prompt, *spoken, *[0] * padding]
        assert answer[row].tolist() == [False] * len(prompt) + [True] * len(spoken) + [False] * padding
    assert data.target_count(np.arange(5)) == int(answer.sum()) and data.weight(np.arange(5)) == 5
    assert PairRows(tmp_path / "p.arrow", whole=40).batch(np.arange(2))[0].shape == (2, 2, 40)
    assert [span.doc_id for span in data.trace(2)] == ["p.json:1"]


def test_a_step_learns_the_mean_loss_of_its_pairs(aligned: Job, base: Path) -> None:
    """Four ranks with spare places: together they have the losses of the batch, none twice."""
    data, objective, cpu = aligned.open_data(), aligned.objective, torch.device("cpu")
    assert objective is not None
    model, _ = checkpoints.load_for_inference(base)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    indices = np.array([7, 2, 30, 11, 5, 39])
    batches = [rank_batch(data, 1, indices, rank, 4) for rank in range(4)]
    assert all(batch.divisor == 6 and batch.counted == data.target_count(indices) for batch in batches)
    with torch.no_grad():
        found = sum(float(objective.losses(model, part, "fp32", cpu)[0]) for one in batches for part in one.parts)
        inputs, targets, reference = data.batch(indices)
        policy = pair_log_probs(model, *flat_pairs(inputs, targets, cpu))
        old = policy._replace(chosen_P=torch.tensor(reference[:, 0]), rejected_P=torch.tensor(reference[:, 1]))
        expected = float(preference_losses(policy, old, Objective(beta=0.5)).sum())
    assert found == pytest.approx(expected, rel=1e-4)


def test_it_begins_at_the_reference_and_learns_what_is_preferred(aligned: Job, base: Path) -> None:
    run_training(aligned, World())
    first, last = validated(aligned)[0], validated(aligned)[-1]
    assert first["validation_loss"] == pytest.approx(math.log(2), abs=1e-4)
    assert first["preference_accuracy"] == 0.5 and abs(first["margin"]) < 1e-4 and abs(first["kl_estimate"]) < 1e-4
    assert last["preference_accuracy"] > 0.9 and last["margin"] > 0.1 and last["validation_loss"] < 0.65
    assert rows(aligned)[1]["loss"] == pytest.approx(math.log(2), abs=1e-4)

    data = aligned.open_validation()  # type: ignore[misc]
    inputs, targets, reference = data.batch(np.arange(13))  # type: ignore[union-attr]
    model = checkpoints.load_for_inference(aligned.checkpoints / "step_000012")[0]
    with torch.no_grad():
        policy = pair_log_probs(model, *flat_pairs(inputs, targets, torch.device("cpu")))
    old = policy._replace(chosen_P=torch.tensor(reference[:, 0]), rejected_P=torch.tensor(reference[:, 1]))
    expected = preference_metrics(preference_sums(policy, old, Objective(beta=0.5)), 0.5)
    for name, value in expected.items():
        assert last[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
    path = aligned.folder / "pairs" / "validation.arrow"
    assert held_out_divergence(aligned.checkpoints / "step_000012", base, path, 10) > 1e-3
    assert abs(held_out_divergence(base, base, path, 10)) < 1e-6

    counters = result(aligned, {"pairs": 40}).counters
    assert counters["preference_accuracy_before"] == 0.5 and counters["preference_accuracy"] > 0.9
    assert {"margin", "margin_before", "ranking_accuracy_before", "kl_estimate", "pairs"} <= counters.keys()
    assert "bits_per_byte" not in counters


@pytest.mark.parametrize("variant", [Variant(), Variant(Lora(rank=2, dropout=0.2))], ids=["whole", "lora"])
def test_resuming_is_bit_identical(aligned: Job, tmp_path: Path, variant: Variant) -> None:
    aligned = replace(aligned, variant=variant, plan=replace(aligned.plan, dropout=variant.lora is not None))
    run_training(aligned, World())
    stopped = replace(aligned, folder=tmp_path / "stopped")

    def stop(checkpoint: Path, row: dict[str, Any]) -> None:
        raise KeyError

    with pytest.raises(KeyError):
        run_training(stopped, World(), stop)
    assert run_training(stopped, World()) == 4
    assert rows(stopped) == rows(aligned)
    mine, theirs = weights(aligned), weights(stopped)
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_two_workers_learn_the_same(aligned: Job, tmp_path: Path) -> None:
    run_training(aligned, World())
    two = replace(aligned, folder=tmp_path / "two")
    ddp = replace(aligned, folder=tmp_path / "ddp", parallel=Parallel(strategy="ddp"))
    on_ranks((2, one_rank, (two,)), (2, one_rank, (ddp,)))
    for other in (two, ddp):
        for mine, theirs in zip(rows(aligned), rows(other), strict=True):
            assert all(mine[key] == pytest.approx(theirs[key], rel=1e-3, abs=1e-4) for key in mine), (mine, theirs)


@pytest.mark.parametrize("lora", [None, Lora(rank=4, alpha=16.0)], ids=["whole", "lora"])
def test_a_reward_model_tells_chosen_from_rejected(aligned: Job, lora: Lora | None) -> None:
    opened = [partial(PairRows, aligned.folder / "pairs" / f"{side}.arrow") for side in ("train", "validation")]
    rewarded = replace(
        aligned,
        open_data=opened[0],
        open_validation=opened[1],
        objective=RewardObjective(),
        variant=Variant(lora, reward=True),
        plan=replace(aligned.plan, steps=20),
    )
    run_training(rewarded, World())
    last = validated(rewarded)[-1]
    assert validated(rewarded)[0]["validation_loss"] == pytest.approx(math.log(2), abs=0.05)
    assert last["preference_accuracy"] > 0.85 and last["validation_loss"] < 0.6
    found = result(rewarded, {})
    model, meta = checkpoints.load_for_inference(rewarded.folder / found.facts["checkpoint"])
    assert isinstance(model, RewardModel) and meta["variant"] == {"reward": True}
    ahead = [
        answer_reward(model, one.prompt + one.chosen) - answer_reward(model, one.prompt + one.rejected)
        for one in pairs(13)
    ]
    assert np.mean([one > 0 for one in ahead]) == pytest.approx(last["preference_accuracy"])
    assert np.mean(ahead) == pytest.approx(last["margin"], rel=1e-3)


def test_the_loss_of_a_reward_model_is_bradley_terrys(small: Any, tmp_path: Path) -> None:
    made = pairs(3)
    write_pairs(tmp_path / "p.arrow", [("p.json:1", one) for one in made])
    inputs, targets = PairRows(tmp_path / "p.arrow").batch(np.arange(3))
    model = RewardModel(small)
    model.init_weights(2)
    spare = targets.copy()
    spare[1] = IGNORED
    with torch.no_grad():
        model.head.weight *= 50
        found = float(RewardObjective().losses(model, (inputs, spare), "fp32", torch.device("cpu"))[0])
    expected = 0.0
    for one in (made[0], made[2]):
        ahead = answer_reward(model, one.prompt + one.chosen) - answer_reward(model, one.prompt + one.rejected)
        expected += math.log1p(math.exp(-ahead))
    assert found == pytest.approx(expected, rel=1e-4)


def test_rejects_and_pairs_are_told_by_file_and_line(tmp_path: Path) -> None:
    """The ledger of the stage; chosen equal to rejected is one of its reasons."""
    from crawl2chat.train.chat_rejects import Reject, write_ledger

    path = write_ledger(tmp_path, [Reject("p.json", 3, "equal", "both answers are the same")])
    assert json.loads(path.read_text()) == {
        "file": "p.json", "row": 3, "reason": "equal", "detail": "both answers are the same",
    }  # fmt: skip
