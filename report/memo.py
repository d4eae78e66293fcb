"""What was read once from finished stages is not read again for the next page of the same process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

Found = TypeVar("Found")
_known: dict[str, tuple[Any, Any]] = {}


def remembered(name: str, key: Any, read: Callable[[], Found]) -> Found:
    """`read()`, or what it gave last time under this name, if the key is the same. One value a name is kept."""
    if name not in _known or _known[name][0] != key:
        _known[name] = (key, read())
    return _known[name][1]
