"""Marks of nodes in a recipe, and what workers and tasks ask of Ray for them."""

from __future__ import annotations

import pytest
from crawl2chat.core.errors import RecipeError
from crawl2chat.core.placement import data_task, placed
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.settings_training import Resources


def test_nobody_asks_for_marks_that_are_not_named() -> None:
    resources = Resources(cpus_per_worker=2)
    assert resources.of_worker == {"CPU": 2}
    assert resources.of_task == {"num_cpus": 2}
    assert resources.marks == {}
    assert data_task() == {}


def test_workers_and_their_tasks_ask_for_a_thousandth() -> None:
    resources = Resources(gpus_per_worker=1, data_resource="data", train_resource="train")
    assert resources.of_worker == {"CPU": 1, "GPU": 1, "train": 0.001}
    assert resources.of_task == {"num_cpus": 1, "num_gpus": 1, "resources": {"train": 0.001}}
    assert resources.marks == {"data": 1.0, "train": 1.0}


@pytest.mark.parametrize("name", ["CPU", "GPU", "memory", "a b", "'{}'", "node:1"])
def test_a_mark_is_a_name_of_ones_own(name: str) -> None:
    with pytest.raises(RecipeError, match=r"resources\.data_resource"):
        load_recipe("tiny", [f"resources.data_resource={name}"])


@pytest.mark.ray
def test_a_cluster_without_the_mark_is_refused_at_the_start(local_ray: None) -> None:
    for key in ("data_resource", "train_resource"):
        with (
            pytest.raises(RecipeError, match=f"resources.{key} asks for 'fast'") as caught,
            placed(Resources.model_validate({key: "fast"})),
        ):
            pass
        assert "ray start --resources" in caught.value.fix
    assert data_task() == {}
