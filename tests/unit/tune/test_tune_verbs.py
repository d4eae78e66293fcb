"""`crawl2chat tune table` and `tune laws`: what they print, what JSON holds, and exit codes of what makes no sense."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from crawl2chat.cli import main, parse
from crawl2chat.tune.laws import BESIROGLU, CHINCHILLA
from crawl2chat.tune.table import Row, load_table

PAGE = Path(__file__).parents[3] / "docs" / "scaling.md"


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["tune", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_whole_table(capsys: pytest.CaptureFixture[str]) -> None:
    rows = said(capsys, "table", "--gpus", "64")
    assert [row["name"] for row in rows] == list(load_table())
    gpt3 = next(row for row in rows if row["name"] == "gpt3-175b")
    assert gpt3["parameters"] == pytest.approx(175e9, rel=0.01)
    assert gpt3["fits"] and gpt3["gpus"] == 64
    assert gpt3["beyond"] == []
    assert next(row for row in rows if row["name"] == "1m")["beyond"]
    assert main(["tune", "table"]) == 0
    shown = capsys.readouterr().out
    assert "…" not in "".join(line for line in shown.splitlines() if line.startswith(" ")), "no cell is cut"
    assert "° gpt3-13b: width 5140 in the paper" in shown
    assert "gpt3-175b" in shown and "!" in shown, "175 billion parameters do not fit on eight GPUs"


def test_chosen_rows_and_their_marks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "table", "50k", "500k", "gpt3-125m"]) == 0
    shown = capsys.readouterr().out
    assert "2.4e-02*" in shown and "2.8e-02~" in shown and "6.0e-04 " in shown
    assert "llama" not in shown


@pytest.mark.parametrize(
    ("options", "parameters"),
    [
        (["--target-params", "1.3b"], 1.3e9),
        (["--target-flops", "5.76e23", "--gpus", "1024"], 70e9),
        (["--target-hours", "24", "--gpus", "8", "--gpu", "h100"], 1.1e9),
    ],
)
def test_a_derived_row(capsys: pytest.CaptureFixture[str], options: list[str], parameters: float) -> None:
    [row] = said(capsys, "table", *options)
    assert row["parameters"] == pytest.approx(parameters, rel=0.1)
    assert set(row["derived"]) >= {"tokens", "learning_rate", "batch_tokens"}
    if "--target-hours" in options:
        assert row["hours"] == pytest.approx(24, rel=0.01)


def test_a_derived_row_can_be_put_into_the_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["tune", "table", "--target-params", "20m"]) == 0
    shown = capsys.readouterr().out
    (tmp_path / "table.yaml").write_text(shown[shown.index("derived:\n  {") :])
    row = load_table(tmp_path / "table.yaml")["derived"]
    [found] = said(capsys, "table", "--target-params", "20m")
    assert row == Row.model_validate({key: found[key] for key in Row.model_fields})


def test_published_laws(capsys: pytest.CaptureFixture[str]) -> None:
    found = said(capsys, "laws", "--flops", "5.76e23", "1e20")
    assert found["loss"]["B"] == 2085.43
    assert found["optima"][0]["parameters"] == pytest.approx(BESIROGLU.optimum(5.76e23)[0])
    assert main(["tune", "laws", "--published", "chinchilla", "--flops", "1e21"]) == 0
    assert "406.4" in capsys.readouterr().out


def points(path: Path) -> None:
    generator = np.random.default_rng(1)
    rows = ["parameters,tokens,learning_rate,loss"]
    for flops in (1e18, 3e18, 1e19, 3e19):
        for n in CHINCHILLA.optimum(flops)[0] * np.geomspace(0.25, 4, 5):
            d = flops / 6 / n
            for rate in (0.25, 0.5, 1.0, 2.0, 4.0):
                noise = np.exp(generator.normal(0, 5e-4))
                loss = CHINCHILLA.loss(n, d) * noise + 0.03 * np.log(rate) ** 2
                rows.append(f"{n},{d},{1.79 * n**-0.713 * d**0.307 * rate},{loss}")
    path.write_text("\n".join(rows))


def test_the_commands_of_the_page_fit_points_and_use_the_laws(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that need a file of points, as they stand on the page; its other commands are run with all others'."""
    monkeypatch.chdir(tmp_path)
    points(tmp_path / "points.csv")
    fit, use = re.findall(r"^    (crawl2chat tune .*)$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    assert main(shlex.split(fit)[1:]) == 0
    shown = capsys.readouterr().out
    assert "alpha" in shown and "best learning rate" in shown and "IsoFLOP" in shown
    assert main([*shlex.split(use)[1:], "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert "fitted to points.csv" in row["source"]
    laws = json.loads((tmp_path / "laws.json").read_text())
    assert laws["loss"]["alpha"] == pytest.approx(0.34, abs=0.02)
    assert laws["learning_rate"]["exponents"]["parameters"] == pytest.approx(-0.713, abs=0.03)
    found = said(capsys, "laws", "--points", "points.csv", "--draws", "20", "--flops", "1e21")
    [optimum] = found["optima"]
    low, high = optimum["parameters_interval"]
    assert low < CHINCHILLA.optimum(1e21)[0] < high
    assert found["isoflop"]["exponents"]["flops"] == pytest.approx(CHINCHILLA.exponent, abs=0.05)
    assert found["points"] == 20


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["table", "60k"], "60k"),
        (["table", "50k", "--target-params", "1b"], "50k"),
        (["table", "--laws", "x.json"], "--laws"),
        (["table", "--vocab", "100"], "--vocab"),
        (["table", "--target-flops", "1e20", "--gpu", "abacus"], "abacus"),
        (["table", "--target-hours", "1", "--mfu", "1.5"], "1.5"),
        (["table", "--target-params", "100"], "100 parameters"),
        (["laws", "--points", "absent.csv"], "absent.csv"),
        (["laws", "--out", "laws.json"], "--points"),
    ],
)
def test_what_makes_no_sense_exits_with_2(
    arguments: list[str], word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *arguments]) == 2
    error = capsys.readouterr().err
    assert word in error and "fix: " in error


@pytest.mark.parametrize("value", ["x", "0", "-1", "", "1e99"])
def test_amounts_that_are_none(value: str) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["tune", "table", "--target-params", value])
    assert caught.value.code == 2


def test_a_recipe_is_still_searched() -> None:
    """`tune table` is a verb of its own, `tune RECIPE` the search."""
    assert parse(["tune", "recipes/tiny.yaml"]).recipe == "recipes/tiny.yaml"
    assert parse(["tune", "table", "--target-params", "1.5B"]).target_params == 1.5e9


def test_the_file_s_layout() -> None:
    """Lines as short as the code's, and every row of published numbers has a source."""
    from crawl2chat.tune.table import TABLE

    assert max(map(len, TABLE.read_text("utf-8").splitlines())) <= 120
    assert all(row["source"] for row in yaml.safe_load(TABLE.read_text("utf-8")).values())
