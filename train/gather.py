"""Windows out of many memory-mapped files, copied in one call of machine code: no Python for each row or file.

The files are known by the addresses of their token buffers. Whoever calls keeps the memory maps open.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import intrinsic

from ..core.compiled import compiled


def _as_pointer(typing_context: Any, address: Any) -> tuple[Any, Any]:
    """An address as something that numba.carray takes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.voidptr(types.uint64), generate


as_pointer: Any = intrinsic(_as_pointer)
carray: Any = vars(numba)["carray"]  # which numba exports without saying so


@compiled
def copy_windows(addresses: Any, ends: Any, kind: Any, starts: Any, inputs: Any, targets: Any) -> bool:
    """Token starts[i] + j of the concatenated files goes to inputs[i, j], the one behind it to targets[i, j].

    `addresses`: uint64, of each file's first token; `ends`: int64, for each file the tokens up to its end; `kind`: an
    array of the files' type. Returns False, having copied some, when a window of inputs.shape[1] + 1 tokens reaches out
    of the stream.
    """
    rows, width = inputs.shape
    for row in range(rows):
        at = starts[row]
        if at < 0 or at + width + 1 > ends[-1]:
            return False
        file = np.searchsorted(ends, at, side="right")
        place = 0
        while place <= width:
            begin = ends[file - 1] if file else 0
            tokens = carray(as_pointer(addresses[file]), ends[file] - begin, kind.dtype)
            first = at + place - begin
            count = min(width + 1 - place, ends[file] - begin - first)
            for k in range(min(count, width - place)):
                inputs[row, place + k] = tokens[first + k]
            for k in range(0 if place else 1, count):
                targets[row, place + k - 1] = tokens[first + k]
            place += count
            file += 1
    return True
