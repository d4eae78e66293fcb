"""Loops over numbers that Numba compiles: once per machine, then they are read from a cache.

The cache lies beside the module (`__pycache__`), else in the user's cache folder, or where NUMBA_CACHE_DIR says. Its
files are written whole and then renamed, so processes that compile at once do no harm. Where no folder can be written,
each process compiles for itself. Only by its module's file is seen that a loop has changed: so what it needs of other
modules comes as an argument.

Without Numba's "fast math" a sum is made in the order in which it is written: the same bits on all processors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

from numba import njit

Loop = TypeVar("Loop", bound=Callable)


def compiled(loop: Loop) -> Loop:
    """The function as machine code, made when it is first called."""
    try:
        return cast(Loop, njit(cache=True)(loop))
    except RuntimeError:  # no folder for the cache
        return cast(Loop, njit(loop))
