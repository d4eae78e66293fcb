"""Importing spaCy without what it would drag along."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_torch() -> Iterator[None]:
    """thinc, below spaCy, imports torch wherever it is installed: seconds and 180 MB a worker, used by no tokenizer.

    A None among the modules is Python's own mark for "cannot be imported"; it goes again with the block.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]
