"""Stages on machines, by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from crawl2chat.core.recipe import Recipe
from crawl2chat.plan.forecast import Plan, StagePlan, forecast
from crawl2chat.plan.machines import Machines
from crawl2chat.plan.prices import Prices
from crawl2chat.plan.profile_file import Measured
from crawl2chat.plan.timing import Timed
from crawl2chat.plan.training import model_of, trained
from crawl2chat.plan.training_profile import Training, counted_mb

PRICES = Prices(currency="EUR", cpu_hour=36.0, gpu_hour={"h100": 72.0}, storage_gb_month=0.0)
MODEL = {"layers": 2, "width": 64, "heads": 2, "kv_heads": 2, "feed_forward": 128, "context": 64}


def stage(plan: Plan, name: str) -> StagePlan:
    return next(one for one in plan.stages if one.stage == name)


def test_seconds_of_extract_are_those_of_its_bytes(
    measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines
) -> None:
    """Work of 10 files of web is 1.33 s each, of wiki 0.33 s, on two cores, after 2 s and with 1 s around them."""
    plan = forecast(recipe(), measured, two_cores, PRICES, {})
    extract = stage(plan, "extract")
    assert extract.seconds == pytest.approx(2 + 5 / 0.75 + 0.5 / 1.5 + 1, abs=0.1)
    assert extract.cost == pytest.approx((extract.seconds or 0) * 2 * 36 / 3600)
    assert extract.documents == 1250 and extract.read == pytest.approx(1.05e7)
    assert extract.written == pytest.approx(2.4e6), "documents grow as their text, from 1 to 2.4 MB"
    faster = forecast(recipe(), measured, replace(two_cores, speed=2.0), PRICES, {})
    assert stage(faster, "extract").seconds == pytest.approx((extract.seconds or 0) / 2, rel=0.02)


def test_each_task_takes_its_own_time(measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines) -> None:
    """11 tasks on 2 cores: six rounds of half a second more."""
    assert measured.data is not None
    slow = replace(measured.data.passes["extract/extract"], task=0.5)
    known = replace(measured, data=replace(measured.data, passes=measured.data.passes | {"extract/extract": slow}))
    before, after = (forecast(recipe(), one, two_cores, PRICES, {}) for one in (measured, known))
    assert (stage(after, "extract").seconds or 0) - (stage(before, "extract").seconds or 0) == pytest.approx(
        3.0, abs=0.4
    )


def test_a_start_is_paid_once(measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines) -> None:
    """The tokenizer learns from 1.99 MB at 1 MB a second after 2.06 seconds, on one core whatever the machine has."""
    plan = forecast(recipe(), measured, two_cores, PRICES, {})
    assert stage(plan, "tokenizer").seconds == pytest.approx(1.99 + 2.06)
    many = forecast(recipe(), measured, replace(two_cores, nodes=9, cpus=64), PRICES, {})
    assert stage(many, "tokenizer").seconds == pytest.approx(1.99 + 2.06, abs=0.05)


def test_memory_is_what_was_measured(measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines) -> None:
    plan = forecast(recipe(), measured, two_cores, PRICES, {})
    assert (stage(plan, "extract").memory_mb, stage(plan, "extract").room_mb) == (pytest.approx(1000), 4000)
    assert plan.misfits == []
    narrow = forecast(recipe(), measured, replace(two_cores, memory_gb=1.5), PRICES, {})
    [misfit] = [one for one in narrow.misfits if one.stage == "extract"]
    assert (misfit.needs, misfit.has, misfit.what) == (pytest.approx(1.0), 0.75, "memory of a worker")
    assert "extract.page_mb" in misfit.knob


def test_stages_that_the_profile_has_not_are_in_no_sum(
    measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines
) -> None:
    plan = forecast(recipe(spans={}), measured, two_cores, PRICES, {})
    assert stage(plan, "spans").seconds is None and any(note.startswith("spans, ") for note in plan.notes)
    assert plan.seconds == pytest.approx(sum(one.seconds or 0 for one in plan.stages))
    assert stage(plan, "samples").seconds == 2.0


def test_the_storage_only_fills(measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines) -> None:
    plan = forecast(recipe(), measured, two_cores, PRICES, {})
    disks = [one.disk for one in plan.stages if one.stage != "pretrain"]
    assert disks == sorted(disks) and plan.disk == max(one.disk for one in plan.stages)
    full = forecast(recipe(), measured, replace(two_cores, disk_gb=plan.disk / 1e9 * 0.9), PRICES, {})
    assert [one.what for one in full.misfits] == ["the storage is full from here on"]


def test_objects_of_the_shuffle_must_find_room(
    measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines
) -> None:
    """725 documents of 16 rows of 20 bytes are 232 kB."""
    assert measured.data is not None
    passes = measured.data.passes | {"dedup/edges": Timed(1.0, 2, 1e4, 0.0)}
    known = replace(measured, data=replace(measured.data, passes=passes))
    plan = forecast(recipe(), known, two_cores, PRICES, {})
    assert stage(plan, "dedup").shuffled == pytest.approx(232_000) and plan.misfits == []
    [misfit] = forecast(recipe(), known, replace(two_cores, store_gb=1e-4), PRICES, {}).misfits
    assert misfit.needs == pytest.approx(2.32e-4) and "object_store_bytes" in misfit.knob


def test_training_on_cpus_goes_by_flops(training: Training, recipe: Callable[..., Recipe], two_cores: Machines) -> None:
    """Two ranks do 2 GFLOPs a second; 100 steps of 8 rows; 1,000 held-out tokens, twice, a third of the work each."""
    made = recipe(model=MODEL, train={"steps": 100, "batch": 8, "validate_every": 50}, tokenizer={"vocab_size": 300})
    config = model_of(made)
    found = trained(made, "pretrain", config, {"pretrain": training}, two_cores, judged=1000.0)
    flops = 100 * 8 * 64 * config.flops_per_token()
    assert found.flops == flops and found.tokens == 51_200
    assert found.seconds == pytest.approx(19 + (flops + 2 * 1000 * config.flops_per_token() / 3) / 2e9)
    assert found.memory_mb == pytest.approx(300 + counted_mb(made, config, 2)) and found.room_mb == 4000
    assert found.checkpoint_bytes == 12 * config.parameters() and found.kept == 1 and found.wrong is None


def test_training_on_gpus_goes_by_their_peak(
    training: Training, recipe: Callable[..., Recipe], two_cores: Machines
) -> None:
    made = recipe(model=MODEL, train={"steps": 100, "batch": 8}, tokenizer={"vocab_size": 300})
    config = model_of(made)
    machines = replace(two_cores, gpus=4, gpu="h100", mfu=0.5)
    found = trained(made, "pretrain", config, {"pretrain": training}, machines, judged=0.0)
    assert found.ranks == 4 and found.seconds == pytest.approx(17 + found.flops / (4 * 989e12 * 0.5))
    assert found.room_mb == 80_000 and found.memory_mb == pytest.approx(1000 + counted_mb(made, config, 4))


def test_a_training_that_mostly_validates_is_told(
    measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines
) -> None:
    """5 % of the tokens are held out: of 10 TB many more than 50 steps have, each of the 50 times."""
    made = recipe(model=MODEL, train={"steps": 50, "batch": 8, "validate_every": 1}, tokenizer={"vocab_size": 300})
    plan = forecast(made, measured, two_cores, PRICES, {"web": 1e13})
    assert any("% of its time is validation; turn: shards.validation_share" in note for note in plan.notes)
    few = forecast(made, measured, two_cores, PRICES, {"web": 1e3, "wiki": 1e3})
    assert not any("validation" in note for note in few.notes)
    assert any(note.startswith("pretrain: ") and "passes over" in note for note in few.notes)


def test_a_warm_up_of_the_batch_has_fewer_tokens(
    training: Training, recipe: Callable[..., Recipe], two_cores: Machines
) -> None:
    warm = {"steps": 100, "batch": 8, "batch_warmup": [{"steps": 10, "batch": 2}]}
    made = recipe(model=MODEL, train=warm, tokenizer={"vocab_size": 300})
    found = trained(made, "pretrain", model_of(made), {"pretrain": training}, two_cores, judged=0.0)
    assert found.tokens == (90 * 8 + 10 * 2) * 64


def test_ranks_that_the_batch_cannot_be_dealt_to_do_not_fit(
    measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines
) -> None:
    made = recipe(model=MODEL, train={"steps": 10, "batch": 8})
    plan = forecast(made, measured, replace(two_cores, gpus=3), PRICES, {})
    [misfit] = plan.misfits
    assert misfit.stage == "pretrain" and "batch" in misfit.what and misfit.unit == ""
    alone = forecast(made, measured, replace(two_cores, cpus=1), PRICES, {})
    assert any("want 2 CPUs" in one.what for one in alone.misfits)


def test_a_model_too_large_for_its_gpu_names_the_knob(
    measured: Measured, recipe: Callable[..., Recipe], two_cores: Machines
) -> None:
    large = {"layers": 48, "width": 6144, "heads": 48, "context": 4096}
    made = recipe(model=large, train={"steps": 10, "batch": 8})
    plan = forecast(made, measured, replace(two_cores, gpus=8), PRICES, {})
    [misfit] = plan.misfits
    assert misfit.what == "memory of a rank" and misfit.has == 80 and "checkpointing" in misfit.knob
    full = made.model_copy(
        update={"resources": made.resources.model_copy(update={"parallel": made.resources.parallel.model_copy(
            update={"checkpointing": "full"})})}
    )  # fmt: skip
    less = forecast(full, measured, replace(two_cores, gpus=8), PRICES, {})
    assert (stage(less, "pretrain").memory_mb or 0) < (stage(plan, "pretrain").memory_mb or 0)
