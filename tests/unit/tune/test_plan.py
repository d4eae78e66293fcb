"""Which trials a sweep has."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.recipe import SHIPPED, Recipe, load_recipe
from crawl2chat.tune.checks import check_sweep
from crawl2chat.tune.plan import Trials
from crawl2chat.tune.rows import parameters_of
from crawl2chat.tune.trial import Trial

SHAPES = {
    "s": {"family": "llama", "layers": 2, "width": 32, "heads": 2, "context": 64},
    "m": {"family": "llama", "layers": 4, "width": 128, "heads": 4, "context": 64},
}


def recipe(**tune: Any) -> Recipe:
    raw = load_recipe("tiny").model_dump(exclude={"tune"})
    return Recipe.model_validate({**raw, "tune": {"rows": ["s", "m"], "shapes": SHAPES, "extend": 0, **tune}})


def trials(**tune: Any) -> Trials:
    return Trials(recipe(**tune), Path("tokenizer.json"), [Path("t")], [Path("v")], Path("ray"))


def test_a_grid_has_every_combination_of_every_row_the_largest_first() -> None:
    found = trials(space={"learning_rate": [1e-3, 1e-2], "weight_decay": [0.0, 0.1, 0.2]}).search()
    assert [trial.row for trial in found] == ["m"] * 6 + ["s"] * 6
    tried = [(trial.optimizer.learning_rate, trial.optimizer.weight_decay) for trial in found[:6]]
    assert sorted(tried) == [(lr, wd) for lr in (1e-3, 1e-2) for wd in (0.0, 0.1, 0.2)]
    assert len({trial.name for trial in found}) == 12
    assert all(trial.model.transfer is None for trial in found)


def test_rates_of_the_table_lie_around_the_rows_own() -> None:
    found = trials(rows=["250k"]).search()
    assert [trial.optimizer.learning_rate for trial in found] == [8e-3, 2.7e-3, 2.4e-2], "the likeliest first"
    carried = trials(rows=["250k", "m"], transfer={"base": "250k"}).search()
    assert {trial.optimizer.learning_rate for trial in carried} == {8e-3, 2.7e-3, 2.4e-2}, "the base's, for all"
    with pytest.raises(RecipeError, match="tune.space has no learning_rate, and m is no row of the scaling table"):
        trials(rows=["m"]).search()


def test_transfer_is_compared_with_the_standard_parametrisation() -> None:
    found = trials(space={"learning_rate": [1e-2]}, transfer={"base": "s", "compare": True}).search()
    assert [(trial.row, trial.model.transfer is not None) for trial in found] == [
        ("m", True), ("m", False), ("s", True), ("s", False)
    ]  # fmt: skip
    carried = found[0].model.transfer
    assert carried is not None and (carried.base_width, carried.base_layers, carried.base_head_size) == (32, 2, 16)


def test_random_values_follow_the_seed_and_stay_in_their_ranges() -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1}, "batch": [2, 16], "schedule": ["cosine", "linear"]}
    found = trials(searcher="random", samples=40, space=space).search()
    assert len(found) == 80 and found == trials(searcher="random", samples=40, space=space).search()
    rates = [trial.optimizer.learning_rate for trial in found]
    assert (
        1e-4 <= min(rates) < 3e-4
        and 3e-2 < max(rates) <= 1e-1
        and sum(rate < 3.16e-3 for rate in rates) in range(25, 56)
    )
    assert {trial.batch for trial in found} == {2, 16}
    assert {trial.optimizer.schedule for trial in found} == {"cosine", "linear"}


def test_random_values_are_the_row_s_with_transfer_and_without() -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1}, "batch": {"low": 2, "high": 16}}
    more = {"searcher": "random", "samples": 5, "space": space, "transfer": {"base": "s", "compare": True}}
    found: dict[tuple[str, bool], list[Any]] = {}
    for trial in trials(**more).search():
        found.setdefault((trial.row, trial.model.transfer is not None), []).append(trial.values)
    assert len(found) == 4
    assert found["m", True] == found["m", False] and found["s", True] == found["s", False]
    assert found["m", True] != found["s", True]
    assert all(isinstance(values["batch"], int) and 2 <= values["batch"] <= 16 for values in found["m", True])


def test_a_point_that_is_drawn_twice_is_one_trial() -> None:
    found = trials(rows=["s"], searcher="random", samples=16, space={"batch": [2, 4], "learning_rate": [1e-3]})
    assert len(found.search()) == 2
    check_sweep(found.recipe)


def test_values_that_are_close_have_folders_of_their_own() -> None:
    found = trials(rows=["s"], space={"learning_rate": [1.00001e-3, 1.00002e-3]}).search()
    assert [trial.name for trial in found] == ["s-lr0.00100001", "s-lr0.00100002"]


def test_values_that_ray_draws_have_one_trial_a_row() -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1}}
    assert len(trials(searcher="tpe", scheduler="none", space=space).search()) == 2
    assert len(trials(scheduler="pbt", space=space).search()) == 2


def test_only_trials_that_others_go_on_from_save_at_every_report() -> None:
    space = {"learning_rate": {"low": 1e-4, "high": 1e-1}}
    made = trials(scheduler="pbt", space=space, asha_check={"row": "s", "space": {"learning_rate": [1e-3, 1e-2]}})
    assert {trial.checkpoint_seconds for trial in made.search()} == {0.0}
    assert {trial.checkpoint_seconds for trial in made.asha_check("grid")} == {30.0}


def test_other_batches_see_as_many_tokens_and_report_as_often() -> None:
    found = trials(rows=["s"], space={"learning_rate": [1e-2], "batch": [4, 8, 16]}, steps=100, report_every=25)
    by_batch = {trial.batch: trial for trial in found.search()}
    assert {batch: trial.steps for batch, trial in by_batch.items()} == {4: [200], 8: [100], 16: [50]}
    assert {batch: trial.report_every for batch, trial in by_batch.items()} == {4: 50, 8: 25, 16: 12}


def test_a_ladders_lengths_may_follow_the_size_up_to_a_compute() -> None:
    ladder = {"rows": ["s", "m", "50k"], "tokens_per_parameter": [5, 10, 20], "max_flops": 6 * 1e6 * 8e6}
    made = trials(space={"learning_rate": [1e-2]}, ladder=ladder)
    sizes = {row: parameters_of(row, made.recipe) for row in ladder["rows"]}
    for trial in made.ladder(dict.fromkeys(ladder["rows"], 5e-3)):
        size = sizes[trial.row]
        assert trial.lengths == [r * size for r in (5, 10, 20) if 6 * size * r * size <= ladder["max_flops"]]
    assert sizes["m"] > 1e6 and {len(trial.lengths) for trial in made.ladder(dict.fromkeys(sizes, 1e-3))} == {1, 3}
    with pytest.raises(RecipeError, match="max_flops leaves row m no length"):
        check_sweep(recipe(space={"learning_rate": [1e-2]}, ladder={**ladder, "max_flops": 1e12}))


def test_the_ladder_is_stable_but_for_its_decays() -> None:
    ladder = {"rows": ["s", "m", "50k"], "tokens": [51200, 102400, 204800], "decay_share": 0.25}
    found = trials(space={"learning_rate": [1e-2]}, ladder=ladder, warmup_share=0.1).ladder(
        dict.fromkeys(ladder["rows"], 5e-3)
    )
    assert [trial.row for trial in found] == ["m", "50k", "s"]
    small: Trial = found[-1].settled()
    assert small.steps == [100, 200, 400] and small.name == "s"
    assert (small.optimizer.schedule, small.optimizer.decay_share, small.optimizer.learning_rate) == ("wsd", 0.25, 5e-3)
    assert small.optimizer.warmup_steps == 10, "of the shortest length"


def test_the_ladder_s_rate_moves_the_rates_of_parts() -> None:
    raw = recipe(ladder={"rows": ["s"], "tokens": [512]}, space={"learning_rate": [1e-2]}).model_dump()
    raw["train"]["optimizer"] |= {"learning_rate": 1e-2, "embedding_learning_rate": 4e-2, "muon": {}}
    [run] = Trials(Recipe.model_validate(raw), Path("t"), [], [], Path("ray")).ladder({"s": 5e-3})
    assert run.optimizer.muon is not None
    assert (run.optimizer.learning_rate, run.optimizer.embedding_learning_rate) == (5e-3, 2e-2)
    assert (run.optimizer.muon.learning_rate, run.optimizer.head_learning_rate) == (0.01, None)


GRID = {"space": {"learning_rate": [1e-3, 1e-2, 1e-1]}}
L: dict[str, Any] = {**SHAPES["s"], "width": 64}
THREE = {"rows": ["s", "l", "m"], "tokens": [5120, 10240, 20480]}
FORECAST = {**GRID, "shapes": {**SHAPES, "l": L, "l2": L}, "ladder": THREE}
ALIKE = {"shapes": {**SHAPES, "s-transfer": L}, "transfer": {"base": "s", "compare": True}}
TWINS = [1e-3, 1.00000000001e-3]
DRAWN = {"learning_rate": {"low": 1e-3, "high": 1e-2}}
TPE, PBT = {"searcher": "tpe", "scheduler": "none"}, {"scheduler": "pbt"}


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        ({"rows": ["s", "s"], **GRID}, "a row stands there twice"),
        ({"rows": ["x"], **GRID}, "no row 'x'"),
        ({"shapes": {**SHAPES, "m": {"layers": 2, "width": 100, "heads": 3}}, **GRID}, "row m: model.heads is 3"),
        ({"space": {"learning_rate": [1e-3], "decay_share": [2.0]}}, "tune.space: decay_share is 2.0"),
        ({"space": {"learning_rate": [1e-3], "mixture.web": [1.0]}}, "but the recipe's are"),
        ({"tokens": [1024, 2048], "scheduler": "none", **GRID}, "several lengths, and the schedule is cosine"),
        ({"ladder": {"rows": ["s", "m"], "tokens": [1, 2, 3]}, **GRID}, "2 rows, 3 lengths and 6 points"),
        ({"budget": {"tokens": 6000}, "batch": 4, "report_every": 25, **GRID}, "less than the 6400 tokens of"),
        ({"steps": 60, "report_every": 60, **GRID}, "is 60 steps, and a trial has 60: there is no rung"),
        ({"asha_check": {"row": "s", **GRID, "report_every": 80}, **GRID}, "tune.asha_check.report_every is 80 steps"),
        ({"space": {"learning_rate": TWINS}}, "2 trials of the name m-lr0.001, which"),
        ({"rows": ["s", "s-transfer"], **ALIKE, **GRID}, "2 trials of the name s-transfer-lr0.001"),
        ({"asha_check": {"row": "s", "space": {"learning_rate": TWINS}}, **GRID}, "asha_check.space has 2 trials of"),
        ({**FORECAST, "ladder": {**THREE, "rows": ["s", "m", "l", "s"]}}, "tune.ladder.rows is .* stands there twice"),
        ({**FORECAST, "ladder": {**THREE, "rows": ["s", "m", "l", "l2"]}}, r"l and l2, both of [\d,]+ parameters"),
        ({**FORECAST, "ladder": {**THREE, "tokens": [1, 2, 3]}}, r"row m, which are \[1, 1, 1\] steps of 512"),
        ({**FORECAST, "budget": {"trials": 3}}, "the ladder alone has 3"),
        ({**FORECAST, "target": {"row": "m", "tokens": 20481}}, "m with 20,481 tokens, a run of the ladder"),
        ({**FORECAST, "target": {"row": "l", "tokens": 20480}}, "a run of the ladder"),
        ({**FORECAST, "target": {"row": "l", "tokens": 21504}}, "nothing to extrapolate"),
        ({**FORECAST, "target": {"row": "x", "tokens": 1}}, "no row 'x'"),
        ({"space": {"schedule": ["cosine", "cosin"]}, **TPE}, "tune.space: schedule is 'cosin'"),
        ({"space": {"beta1": {"low": 0.5, "high": 3}, "learning_rate": [1e-3]}, **TPE}, "tune.space: beta1 is 3.0"),
        ({"space": {"beta1": {"low": 0.5, "high": 3}, "learning_rate": [1e-3]}, **PBT}, "tune.space: beta1 is 3.0"),
        ({"space": {"weight_decay": [-1.0, 0.1]}, **PBT}, "tune.space: weight_decay is -1.0"),
        ({"space": {"schedule": ["wsd", "cosine"], "decay_share": [0.1, 0.3]}, **TPE}, "the schedule is cosine"),
    ],
)  # fmt: skip
def test_sweeps_that_do_not_work(tune: dict[str, Any], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        check_sweep(recipe(**tune))


@pytest.mark.parametrize(
    "tune",
    [
        {**FORECAST, "budget": {"trials": 4}},
        {**FORECAST, "target": {"row": "m", "tokens": 40960}},
        {**FORECAST, "target": {"row": "s", "tokens": 5120000}},  # small, but with more compute than any run
        {"space": {"schedule": ["wsd"], "decay_share": {"low": 0.1, "high": 0.3}, "batch": [4, 8]}, **TPE},
        {"space": {"beta1": {"low": 0.5, "high": 0.95}, "learning_rate": [1e-3, 1e-2], "clip_norm": [1.0]}, **PBT},
    ],
)  # fmt: skip
def test_sweeps_that_work(tune: dict[str, Any]) -> None:
    check_sweep(recipe(**tune))


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_sweeps_work(path: Path) -> None:
    check_sweep(load_recipe(path))


@pytest.mark.parametrize(
    ("tune", "words"),
    [
        ({"space": {"learningrate": [1e-3]}}, "unknown key 'learningrate'"),
        ({"space": {"learning_rate": {"low": 1e-3, "high": 1e-2}}}, "is a range, which a grid cannot go through"),
        ({"space": {"learning_rate": {"low": 1e-2, "high": 1e-3}}, "searcher": "random"}, "is empty"),
        ({"space": {"learning_rate": {"low": 0, "high": 1e-3}}, "searcher": "random"}, "has no logarithm"),
        ({"space": {"learning_rate": [1e-3, 1e-3]}}, "name each value once"),
        ({"space": {"schedule": [1.0]}}, "give names"),
        ({"space": {"learning_rate": ["fast"]}}, "give numbers"),
        ({"tokens": [200, 100], **GRID}, "each longer than the one before"),
        ({"tokens": [100, 200], **GRID}, "a trial that is stopped has no lengths"),
        ({"target": {"row": "m", "tokens": 1}, **GRID}, "add tune.ladder"),
        ({"workers_per_trial": 2, "scheduler": "hyperband", **GRID}, "moves checkpoints between trials"),
        ({"ladder": {"rows": ["s"]}}, "tokens or tokens_per_parameter; give one of the two"),
        ({"ladder": {"rows": ["s"], "tokens": [1], "tokens_per_parameter": [1]}}, "give one of the two"),
        ({"ladder": {"rows": ["s"], "tokens_per_parameter": [2, 1]}}, "each above the one before"),
        ({"budget": {"tokens": 10}, **GRID}, "less than one trial's first rung"),
        ({"asha_check": {"row": "s", "space": DRAWN}, **GRID}, "asha_check.space.learning_rate is a range, which a"),
        ({"asha_check": {"row": "s", "space": {}}, **GRID}, "tune.asha_check.space is empty; give"),
        ({"space": {"batch": [-3]}}, "tune.space.batch has -3; give whole numbers"),
        ({"space": {"batch": [2.2, 2.4]}}, "tune.space.batch has 2.2; give whole numbers"),
        ({"space": {"batch": {"low": 0.6, "high": 8}}, "searcher": "random"}, "tune.space.batch has 0.6"),
        ({"asha_check": {"row": "s", "space": {"batch": [0]}}, **GRID}, "tune.asha_check.space.batch has 0"),
        ({"space": {"warmup_share": [0.1, 5]}}, "tune.space.warmup_share has 5; give"),
        ({"space": {"warmup_share": [-1]}}, "tune.space.warmup_share has -1"),
        ({"space": {"warmup_share": {"low": 0.1, "high": 2}}, **TPE}, "tune.space.warmup_share has 2"),
        ({"space": {"learning_rate": [float("inf")]}}, "tune.space.learning_rate has inf; give numbers"),
        ({"space": {"schedule": {"low": 1, "high": 2}}, **TPE}, "tune.space.schedule is a range"),
        ({"space": {"learning_rate": ["1e-3"]}}, "tune.space.learning_rate has '1e-3'; .*write 1.0e-3 "),
        ({"space": {"learning_rate": ["1.5e2"]}}, r"write 1.5e\+2 "),
        ({"shapes": {"a/b": SHAPES["s"]}, **GRID}, "tune.shapes has 'a/b'"),
        ({"shapes": {"../s": SHAPES["s"]}, **GRID}, "tune.shapes has '../s'"),
        ({"shapes": {"s\n": SHAPES["s"]}, **GRID}, "tune.shapes has 's"),
        ({"space": {"decay_share": [0.5, 1.0]}, **PBT}, "tune.space has decay_share, and tune.scheduler is pbt"),
        ({"space": {"mixture.web": [0.5, 1.0]}, **PBT}, "tune.space has mixture.web, and tune.scheduler is pbt"),
        ({"space": {"batch": [4, 8]}, **PBT}, "tune.space has batch, and tune.scheduler is pbt"),
        ({"space": {"warmup_share": [0.1, 0.2]}, **PBT}, "tune.space has warmup_share, and"),
        ({"space": {"schedule": ["wsd"]}, **PBT}, "tune.space has schedule, and"),
    ],
)  # fmt: skip
def test_sections_that_do_not_fit_together(tune: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        recipe(**tune)
