"""Profiles and prices as files: what is written is read, and what is wrong is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from crawl2chat.core.errors import ContractError, InputError
from crawl2chat.core.settings_training import Resources
from crawl2chat.plan.prices import read_prices
from crawl2chat.plan.profile_file import DEFAULT, Measured, read_measured, write_profile
from crawl2chat.tune.gpus import GPUS


def test_a_profile_comes_back_as_it_was(measured: Measured, tmp_path: Path) -> None:
    write_profile(tmp_path / "profile.json", measured)
    assert read_measured(tmp_path / "profile.json") == measured


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("{}", InputError, "not a profile"),
        ("[1]", InputError, "not a profile"),
        ("no JSON", InputError, "not a profile"),
        ('{"profile_version": 99, "made": {}}', ContractError, "of version 99, this program reads 1"),
        ('{"profile_version": 1}', InputError, "made"),
        ('{"profile_version": 1, "made": {}, "crawl": {"start": "soon", "each": 1}}', InputError, "crawl.start"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(text: str, error: type[Exception], message: str, tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text(text)
    with pytest.raises(error, match=message):
        read_measured(tmp_path / "profile.json")


def test_the_shipped_profile_knows_the_stages_of_a_run() -> None:
    shipped = read_measured(DEFAULT)
    assert shipped.data is not None and shipped.crawl is not None
    assert {"extract", "dedup", "spans", "tokenizer", "shards"} <= {
        key.partition("/")[0] for key in shipped.data.passes
    }
    assert set(shipped.trainings) == {"pretrain", "finetune", "align"}
    assert json.loads(DEFAULT.read_text())["made"]["what"]


def test_every_gpu_has_a_price() -> None:
    assert set(read_prices().gpu_hour) == set(GPUS)


def test_the_recipe_s_prices_go_before_the_table() -> None:
    prices = read_prices().changed(Resources(price_per_gpu_hour=1.25, currency="EUR"))
    assert prices.gpu("h100") == prices.gpu("A100") == 1.25 and prices.currency == "EUR"
    assert prices.cpu_hour == read_prices().cpu_hour
    assert read_prices().changed(Resources(currency="EUR")).currency == "USD", "no price of the recipe is in it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("currency: USD", "cpu_hour"),
        ("{currency: USD, cpu_hour: -1}", "cpu_hour.*-1"),
        ("{currency: USD, cpu_hour: 1, gpu_hours: {}}", "gpu_hours"),
        ("{currency: USD, cpu_hour: 1, gpu_hour: {h100: -2}}", "gpu_hour.h100 is -2"),
        ("a: [", "while parsing"),
    ],
)
def test_a_wrong_table_of_prices_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(InputError, match=message):
        read_prices(tmp_path / "prices.yaml")


def test_a_gpu_without_a_price_is_no_gift(tmp_path: Path) -> None:
    (tmp_path / "prices.yaml").write_text("{currency: USD, cpu_hour: 1, gpu_hour: {a100: 2}}")
    with pytest.raises(InputError, match="no price for an hour of h100: the table has a100"):
        read_prices(tmp_path / "prices.yaml").gpu("h100")
