"""What is told of a trial that raised something."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from crawl2chat.tune.outcomes import first_line
from crawl2chat.tune.spent import has_ended, reports
from crawl2chat.tune.watching import Heard


@pytest.mark.parametrize(
    ("error", "words"), [(RuntimeError("no\nmore"), "RuntimeError: no"), (AssertionError(), "AssertionError")]
)
def test_an_error_is_its_type_and_its_first_line(error: Exception, words: str) -> None:
    assert first_line(error) == words


def test_a_trial_that_raised_has_ended_and_keeps_what_it_had_told(tmp_path: Path) -> None:
    """Of Ray's trial the callback reads three things."""
    raised = SimpleNamespace(
        storage=SimpleNamespace(trial_fs_path=str(tmp_path)), config={"trial": {"phase": "search"}}, trial_id="t",
        custom_dirname=None, get_error=lambda: RuntimeError("Traceback\nMemoryError: too large\n"),
    )  # fmt: skip
    heard, trial = Heard(), cast(Any, raised)
    told = {"step": 8, "tokens": 800, "lengths": "[{}]", "state": "ok", "config": raised.config}
    heard.on_trial_result(1, [], trial, told)
    assert not has_ended(tmp_path, 2)
    heard.on_trial_error(1, [], trial)
    last = reports(tmp_path)[-1]
    assert has_ended(tmp_path, 2)
    assert (last["state"], last["error"], last["tokens"]) == ("failed", "MemoryError: too large", 800)
