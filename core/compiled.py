"""Loops over arrays as machine code (numba): what would take NumPy many passes, or a table for each text.

A compiled function is kept beside its module, or in the user's cache folder where that cannot be written, so that a
machine compiles it once. Unsigned 64-bit numbers must meet only their like: with a signed one they become floats.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

Function = TypeVar("Function", bound=Callable[..., Any])


def compiled(function: Function) -> Function:
    """The function as machine code, compiled at its first call with arguments of some types."""
    try:
        return cast(Function, njit(cache=True)(function))
    except RuntimeError:  # no folder can be written
        return cast(Function, njit(function))
