"""Loops over arrays as machine code (numba): what would take NumPy many passes, or Python a step for each character.

A machine compiles a loop once: the code is kept beside its module, in the user's cache folder where that cannot be
written, or where NUMBA_CACHE_DIR says. Numba sees by a loop's own file that the loop has changed; what the loop's
module took from others, numbers and loops of theirs, is therefore part of the kept code's place.

Unsigned 64-bit numbers must meet only their like: with a signed one they become floats. Without numba's "fast math" a
sum is made in the order in which it is written: the same bits on all processors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numba.core import config as _config
from numba.extending import intrinsic

config: Any = _config
Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """The function as machine code, made at its first call with arguments of some types."""
    taken = blake2b("\n".join(sorted(set(_taken(loop, set())))).encode(), digest_size=8).hexdigest()
    before = config.CACHE_DIR
    beside = Path(loop.__code__.co_filename).parent / "__pycache__"
    config.CACHE_DIR = str(Path(before or beside) / f"loops-{taken}")
    try:
        return cast(Loop, njit(cache=True)(loop))
    except RuntimeError:  # no folder can be written
        return cast(Loop, njit(loop))
    finally:
        config.CACHE_DIR = before


def inlined(part: Loop) -> Loop:
    """A part of compiled loops that becomes part of their code. For what runs for each character or word: each call of
    a compiled function counts a reference more and one less for each array that it is given, which is dear there."""
    return cast(Loop, njit(inline="always")(part))


def _borrowed(typing_context: Any, array: Any) -> Any:
    """In a compiled loop: the same array, for which no references are counted. Numba counts one more and one less
    wherever an array is given to an inlined part that has a loop of its own, by atomic operations, which can be half of
    the time of a loop over words. The array must outlive the loop, as a caller's does; a loop must not return it."""

    def code(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        same = context.make_array(signature.args[0])(context, builder, arguments[0])
        same.meminfo = same.meminfo.type(None)
        return same._getvalue()

    return array(array), code


borrowed = cast(Callable[[np.ndarray], np.ndarray], intrinsic(_borrowed))


def _taken(loop: Callable[..., Any], seen: set[str]) -> Iterator[str]:
    """What a loop's module has from others when the loop is defined: numbers, loops' files, and what these took."""
    seen.add(loop.__code__.co_filename)
    for name, value in loop.__globals__.items():
        if isinstance(value, int | float | tuple | np.generic):
            yield f"{name}={value!r}"
        elif (source := getattr(value, "py_func", None)) and (file := source.__code__.co_filename) not in seen:
            yield f"{file} {Path(file).stat().st_mtime_ns}"
            yield from _taken(source, seen)
