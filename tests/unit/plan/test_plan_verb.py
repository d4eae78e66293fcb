"""`crawl2chat plan` as a user meets it; integration/test_plan.py measures for real."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.cli import main
from crawl2chat.core.recipe import Recipe
from crawl2chat.plan.profile_file import Measured, write_profile
from crawl2chat.plan.table import money, size, time_of


@pytest.fixture
def written(recipe: Callable[..., Recipe], measured: Measured, tmp_path: Path) -> list[str]:
    """The command for a recipe of files and its profile."""
    made = recipe(model={"layers": 1, "width": 32, "heads": 2, "context": 32}, train={"steps": 100, "batch": 8})
    (tmp_path / "r.yaml").write_text(made.to_yaml())
    write_profile(tmp_path / "profile.json", measured)
    machine = ["--cpus", "2", "--memory-gb", "8"]
    return ["plan", str(tmp_path / "r.yaml"), "--profile", str(tmp_path / "profile.json"), *machine]


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, Any]]:
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_plan_that_fits(written: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, plan = told(written, capsys)
    assert code == 0 and plan["fits"] and plan["misfits"] == []
    assert [one["stage"] for one in plan["stages"]][:3] == ["crawl", "extract", "dedup"]
    assert plan["sources"]["web"] == {"bytes": 1e7, "units": 10, "known": "listed", "pages": None}
    assert plan["together"]["seconds"] == sum(one["seconds"] or 0 for one in plan["stages"])
    assert plan["machines"]["cpus"] == 2 and plan["machines"]["disk_gb"] is None
    assert main(written) == 0
    text = capsys.readouterr().out
    assert "plan of r on 1 node of 2 CPUs and 8 GB" in text and "made up, today" in text
    assert "shards: not in the profile" in text and "does not fit:" not in text


def test_what_does_not_fit_ends_with_1_and_names_the_knob(
    written: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, plan = told([*written[:-1], "1.5"], capsys)
    assert code == 1 and not plan["fits"]
    assert [(one["stage"], one["unit"]) for one in plan["misfits"]] == [("extract", "GB")]
    assert main([*written[:-1], "1.5"]) == 1
    text = capsys.readouterr().out
    assert "1 GB!" in text and "extract.page_mb lower" in text


def test_more_nodes_take_less_time_and_gpus_cost(written: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    _, one = told([*written, "--bytes", "web=100g"], capsys)
    _, many = told([*written, "--bytes", "web=100g", "--nodes", "10", "--gpus", "2"], capsys)
    seconds = [{stage["stage"]: stage["seconds"] for stage in plan["stages"]} for plan in (one, many)]
    assert 5 < seconds[0]["extract"] / seconds[1]["extract"] < 10.5
    pretrain = next(stage for stage in many["stages"] if stage["stage"] == "pretrain")
    assert pretrain["cost"] == pytest.approx(pretrain["seconds"] / 3600 * 2 * many["prices"]["gpu_hour"]["h100"])
    assert pretrain["bound"] == "GPUs" and pretrain["room_mb"] == 80_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gpu", "abacus"], "--gpu abacus: not listed"),
        (["--mfu", "2"], "--mfu 2.0"),
        (["--bytes", "wob=1g"], "no such source"),
        (["--sample-bytes", "1m"], "without --measure"),
        (["--prices", "nowhere.yaml"], "--prices nowhere.yaml"),
        (["--set", "trian.steps=1"], "trian"),
    ],
)
def test_wrong_options_end_with_2(
    options: list[str], message: str, written: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*written, *options]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("options", [["--nodes", "-3"], ["--nodes", "0"], ["--gpus", "1.5"], ["--bytes", "100g"]])
def test_numbers_that_are_none_end_with_2(
    options: list[str], written: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*written, *options])
    assert caught.value.code == 2 and options[0] in capsys.readouterr().err


def test_a_profile_of_another_version_ends_with_2(
    written: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile = tmp_path / "profile.json"
    profile.write_text(profile.read_text().replace('"profile_version": 1', '"profile_version": 2'))
    assert main(written) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "of version 2, this program reads 1" in said and "--measure" in said


def test_without_a_profile_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["plan", "tiny", "--set", f"storage={tmp_path}", "--cpus", "2", "--memory-gb", "16"])
    text = capsys.readouterr().out
    assert code == 0, text
    assert "profile: the shipped one: of other sources and another machine than yours" in " ".join(text.split())
    code, plan = told(["plan", "tiny", "--set", f"storage={tmp_path}", "--cpus", "2", "--memory-gb", "16"], capsys)
    known = {one["stage"]: one["seconds"] for one in plan["stages"]}
    assert code == 0 and all(known[name] for name in ("crawl", "extract", "dedup", "tokenizer", "shards", "pretrain"))


def test_the_page_s_commands_without_a_measurement_run(
    documented_commands: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of common_crawl.yaml, which no run of the others' can stand for; test_run.py runs the rest."""
    commands = [one for one in documented_commands["plan.md"] if "common_crawl" in one]
    assert commands
    for command in commands:
        assert main(shlex.split(command)[1:]) in (0, 1), command
        assert "common_crawl" in capsys.readouterr().out


def test_figures_for_people() -> None:
    assert [size(value) for value in (None, 0.0, 999.0, 1234.0, 1.5e9, 1e14)] == [
        "", "0 B", "999 B", "1.23 kB", "1.5 GB", "100 TB",
    ]  # fmt: skip
    assert [money(value) for value in (0.0, 0.00123, 1234.5)] == ["0.00", "0.0012", "1,234.50"]
    assert [time_of(value) for value in (1.234, 90.0, 5400.0, 604_800.0)] == ["1.23 s", "1.5 min", "1.5 h", "168 h"]
