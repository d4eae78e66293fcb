"""Results as a file and as a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from crawl2chat.core.progress import console
from crawl2chat.tune.results import Result, best_of_rows, print_table, read_results, write_results


def result(row: str, rate: float, loss: float | None, state: str = "finished", error: str | None = None) -> Result:
    values = {"parameters": 75_568, "steps": 60, "tokens": 61_440, "seconds": 3.4}
    bits = None if loss is None else loss / 1.34
    return Result.model_validate(
        values
        | {"row": row, "learning_rate": rate, "validation_loss": loss, "bits_per_byte": bits}
        | {"state": state, "error": error}
    )


RESULTS = [
    result("50k", 1e-2, 4.5),
    result("50k", 3e-2, 4.25),
    result("50k", 9.0, None, "diverged"),
    result("100k", 1e-2, None, "failed", "InputError: [too few tokens]"),
]


def test_the_best_of_a_row_has_the_lowest_loss_and_a_row_without_losses_has_none() -> None:
    assert {row: best.learning_rate for row, best in best_of_rows(RESULTS).items()} == {"50k": 3e-2}


def test_the_file_gives_back_what_was_written(tmp_path: Path) -> None:
    write_results(tmp_path, RESULTS)
    assert read_results(tmp_path) == RESULTS


def test_the_table_shows_each_trial_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 100)
    with console.capture() as capture:
        print_table(RESULTS)
    lines = [line.split() for line in capture.get().splitlines()]
    assert ["50k", "75,568", "0.03", "60", "4.250", "3.172", "3.4", "s", "finished"] in lines
    assert ["50k", "75,568", "9", "60", "3.4", "s", "diverged"] in lines
    assert any(line[:1] == ["100k"] and line[-3:] == ["[too", "few", "tokens]"] for line in lines)
