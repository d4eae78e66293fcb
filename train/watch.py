"""How fast a run goes, and where its time stays: the figures of a logged step that say nothing of the model.

tokens_per_second    counted targets, all ranks together, without the time of validation and checkpoints
mfu                  model FLOPs utilisation (Chowdhery et al. 2022, appendix B): the model's FLOPs in that time
                     against the ranks' measured peak (train/peak.py)
data_wait            share of the same time that this rank stood still for its batches
checkpoint_stall     share of all time that training stood still for checkpoints
memory_bytes         the most that this rank's process had resident; on a GPU, had allocated there
seconds_left         to the last step, at the pace since the start, validation and checkpoints included
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

FIGURES = ("tokens_per_second", "mfu", "data_wait", "checkpoint_stall", "memory_bytes", "seconds_left")


class Watch:
    """Counts from the end of step `done` on. `peak`: FLOPs a second, all ranks together; None: no MFU."""

    def __init__(self, steps: int, done: int, flops_per_token: float = 0.0, peak: float | None = None) -> None:
        self._steps, self._done = steps, done
        self._flops_per_token, self._peak = flops_per_token, peak
        self._first = self._began = time.perf_counter()
        self._tokens, self._waited, self._validated, self._saved = 0, 0.0, 0.0, 0.0

    def add(self, tokens: int, waited: float) -> None:
        """A step is done: its counted targets, and the seconds it waited for its batch."""
        self._tokens += tokens
        self._waited += waited

    @contextmanager
    def validating(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._validated += time.perf_counter() - began

    @contextmanager
    def saving(self) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._saved += time.perf_counter() - began

    def figures(self, step: int) -> dict[str, float]:
        """Of the time since the last call."""
        now = time.perf_counter()
        whole = max(now - self._began, 1e-9)
        stepping = max(whole - self._validated - self._saved, 1e-9)
        rate = self._tokens / stepping
        found = {"tokens_per_second": round(rate, 1)}
        if self._peak:
            found["mfu"] = _round(rate * self._flops_per_token / self._peak)
        found |= {
            "data_wait": _round(self._waited / stepping),
            "checkpoint_stall": _round(self._saved / whole),
            "memory_bytes": _memory(),
            "seconds_left": round((now - self._first) / max(1, step - self._done) * (self._steps - step), 1),
        }
        self._began, self._tokens, self._waited, self._validated, self._saved = now, 0, 0.0, 0.0, 0.0
        return found


def without_figures(row: dict[str, float]) -> dict[str, float]:
    """What of a row of metrics is the same in every run of the same recipe."""
    return {name: value for name, value in row.items() if name not in FIGURES}


def _round(share: float) -> float:
    return float(f"{share:.4g}")


def _memory() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most << 10
