"""Which units come early, and how the stage `shards` takes them over."""

from __future__ import annotations

from pathlib import Path

import pytest
from crawl2chat.core.documents import ledger_stages
from crawl2chat.core.files import write_text
from crawl2chat.core.manifest import file_entry
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.stage import fingerprint
from crawl2chat.core.units import Unit, UnitReport, commit, finished, source_of
from crawl2chat.pipelines.stages import all_stages, run_stages, sweep_stages
from crawl2chat.tokenize.early import early_units, take_over

UNITS = [Unit(name=f"{source}-{number:05d}") for source in ("wiki", "web") for number in range(10)]


@pytest.mark.parametrize(("share", "number"), [(0.2, 4), (0.1, 2), (0.15, 3), (0.01, 1), (0.99, 20), (0.5, 10)])
def test_the_share_is_rounded_up(share: float, number: int) -> None:
    names = [unit.name for unit in early_units(UNITS, share)]
    assert len(set(names)) == len(names) == number
    assert names == [unit.name for unit in early_units(list(reversed(UNITS)), share)], "their order is nothing"


def test_each_source_has_its_part() -> None:
    for share in (0.2, 0.3, 0.5):
        sources = [source_of(unit.name) for unit in early_units(UNITS, share)]
        assert sources.count("web") == sources.count("wiki")


def test_units_of_the_same_settings_are_taken_over_and_no_others(tmp_path: Path) -> None:
    early, folder, config = tmp_path / "early", tmp_path / "shards", {"cut": 5}

    def make(place: Path, unit: Unit, config: dict[str, int], text: str) -> None:
        path = place / "train" / f"{unit.name}.arrow"
        write_text(path, text)
        commit(place, unit, config, UnitReport(name=unit.name, files=[file_entry(place, path, 1)], counters={"n": 1}))

    make(early, UNITS[0], config, "early")
    make(early, UNITS[1], {"cut": 6}, "of other settings")
    make(early, UNITS[2], config, "early")
    make(folder, UNITS[2], config, "done already")
    take_over(early, folder, UNITS, config)
    assert set(finished(folder, UNITS, config)) == {UNITS[0].name, UNITS[2].name}
    assert (folder / "train" / f"{UNITS[0].name}.arrow").read_text() == "early"
    assert (folder / "train" / f"{UNITS[2].name}.arrow").read_text() == "done already"


def test_what_comes_early_is_no_part_of_the_shards_identity() -> None:
    plain, early, more = (load_recipe("tiny", [f"shards.early={value}"]) for value in ("null", 0.2, 0.3))

    def mark(recipe: Recipe, name: str) -> str:
        [stage] = [one for one in all_stages(recipe) if one.name == name]
        return fingerprint(stage, recipe, dict.fromkeys(stage.inputs, "digest"))

    assert mark(plain, "shards") == mark(early, "shards") == mark(more, "shards")
    assert mark(early, "shards_early") != mark(more, "shards_early")
    [shards] = [one for one in all_stages(plain) if one.name == "shards"]
    assert shards.config(plain) == {"shards": {"validation_share": plain.shards.validation_share, "split": "documents"}}
    assert mark(plain, "pretrain") != mark(early, "pretrain")


def test_the_stages_of_a_recipe_that_begins_early() -> None:
    recipe = load_recipe("tiny", ["shards.early=0.2", "paragraphs={}"])
    names = [stage.name for stage in run_stages(recipe)]
    assert names[names.index("tokenizer") :][:4] == ["tokenizer", "shards_early", "shards", "pretrain"]
    stages = {stage.name: stage for stage in all_stages(recipe)}
    assert stages["shards_early"].inputs == stages["shards"].inputs
    assert set(ledger_stages(recipe)) < set(stages["shards"].inputs)
    [late] = stages["pretrain"].late
    assert late.inputs == stages["shards"].inputs
    assert "shards_early" not in [stage.name for stage in all_stages(load_recipe("tiny"))]
    sweep = load_recipe(
        "tiny", ["shards.early=0.2", "tune.ladder={rows: [50k, 100k, 250k], tokens: [100000, 200000, 400000]}"]
    )
    assert "shards_early" not in [stage.name for stage in sweep_stages(sweep)], "nothing is pretrained"
