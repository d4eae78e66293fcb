"""`crawl2chat data WORD`: options that do not go together are refused, before the run is even opened."""

from __future__ import annotations

import pytest
from crawl2chat.cli import main


def test_what_is_kept_has_no_reason(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "inspect", "--run", "no/such/run", "--kept", "--reason", "gopher"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "--kept and --reason gopher: what is kept has no reason" in said
    assert "fix: leave out one of the two" in said
