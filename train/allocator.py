"""The C library's allocator, told to keep what it has: tensors of a step go where those of the step before were."""

from __future__ import annotations

import ctypes
import sys
from contextlib import suppress

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h
KEPT = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Let glibc's malloc keep up to a gigabyte that is free, and take large blocks from it.

    By itself it maps every tensor of more than some megabytes anew and gives it back when it is freed, so that the
    kernel clears its pages at every step. A step of a small model on a CPU takes some percent less (docs/training.md);
    the peak of memory is the same. Where the C library is another, nothing is changed.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            mallopt = ctypes.CDLL(None).mallopt
            mallopt(M_MMAP_THRESHOLD, KEPT)
            mallopt(M_TRIM_THRESHOLD, KEPT)
