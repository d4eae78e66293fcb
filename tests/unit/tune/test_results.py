"""Results as a file and as a table."""

from __future__ import annotations

from pathlib import Path

import pytest
from crawl2chat.core.progress import console
from crawl2chat.tune.results import (
    Busy,
    Finalist,
    Result,
    Sweep,
    best_of_rows,
    in_order,
    print_table,
    read_curves,
    read_results,
    read_sweep,
    write_results,
)


def result(row: str, rate: float, loss: float | None, state: str = "finished", error: str | None = None) -> Result:
    values = {"parameters": 75_568, "steps": 60, "tokens": 61_440, "seconds": 3.4, "name": f"{row}-{rate}"}
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


def test_with_finalists_the_mean_over_seeds_decides() -> None:
    """The trial with the lowest single loss was lucky."""
    steady, lucky = (
        one.model_copy(update={"name": name}) for one, name in zip(RESULTS, ("steady", "lucky"), strict=False)
    )
    common = {"row": "50k", "transfer": False, "values": {}, "seeds": 3, "deviation": 0.1}
    finalists = [Finalist(name="steady", mean=4.52, **common), Finalist(name="lucky", mean=4.61, **common)]
    assert best_of_rows([lucky, steady], finalists) == {"50k": steady}
    assert best_of_rows([lucky, steady]) == {"50k": lucky}


def test_the_files_give_back_what_was_written(tmp_path: Path) -> None:
    curves = {"search/50k-0.01": [(1024, 6.5), (2048, 5.25)]}
    busy = [
        Busy(phase="search", trials=2, steps=9, cores=2, wall_seconds=10, cpu_seconds=18),
        Busy(phase="ladder", trials=1, steps=5, cores=2, wall_seconds=30, cpu_seconds=42),
    ]
    sweep = Sweep(learning_rate=1e-2, drift={"transfer": 0.5}, busy=busy, marks=["a mark"], cores=2, wall_seconds=40)
    paths = write_results(tmp_path, RESULTS, curves, sweep)
    assert [path.name for path in paths] == ["results.json", "curves.json", "sweep.json"]
    assert read_results(tmp_path) == RESULTS
    assert read_curves(tmp_path) == curves
    assert read_sweep(tmp_path) == sweep
    assert sweep.busy_share == pytest.approx((18 + 42) / (2 * 40)), "of all phases' cores and seconds"


def test_results_stand_by_phase_row_and_loss() -> None:
    ladder = result("100k", 1e-2, 4.0).model_copy(update={"phase": "ladder"})
    carried = result("50k", 1e-2, 9.0).model_copy(update={"transfer": True})
    found = in_order([ladder, *RESULTS[::-1], carried], ["50k", "100k"])
    assert found == [carried, RESULTS[1], RESULTS[0], RESULTS[2], RESULTS[3], ladder]


def test_the_table_shows_each_trial_and_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "width", 80)
    with console.capture() as capture:
        print_table(RESULTS, most=2)
    lines = [line.split() for line in capture.get().splitlines()]
    at = lines.index(["search:", "50k", "75.6k"])
    assert lines[at + 1 : at + 4] == [
        ["0.01", "61.4k", "4.500", "3.358", "finished"],
        ["0.03", "61.4k", "4.250", "3.172", "finished"],
        ["…", "1", "more"],
    ]
    assert ["0.01", "61.4k", "InputError:"] in [line[:3] for line in lines]
    assert "too few tokens" in " ".join(capture.get().split())
