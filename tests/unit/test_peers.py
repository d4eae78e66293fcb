"""What the tests themselves do where a package is absent that they compare ours with."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest


def test_a_peer_may_be_absent_but_not_in_ci(peer: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no_such_package is absent: pip install"):
        peer("no_such_package")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no_such_package is absent, and CI must have it"):
        peer("no_such_package")
    assert peer("math") is math
