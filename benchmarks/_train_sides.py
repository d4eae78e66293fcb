"""Step times of training loops, measured in alternating blocks: each loop in a process of its own, one at a time.

A process waits for its orders without taking CPU (benchmarks/_train_side.py), so that a noisy minute meets all alike.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SIDE = Path(__file__).parent / "_train_side.py"


@dataclass
class Side:
    """One training loop. `python` is an interpreter that has its packages."""

    name: str
    settings: dict[str, Any]
    python: str = sys.executable
    parameters: int = 0
    times: list[float] = field(default_factory=list)  # seconds a step, block by block
    process: subprocess.Popen[str] | None = None

    @property
    def seconds(self) -> float | None:
        """Median of the blocks; None when the loop did not run."""
        return statistics.median(self.times) if self.times else None

    def run(self, steps: int) -> float | None:
        """Seconds a step; None when the process has died, which it says itself on standard error."""
        assert self.process is not None and self.process.stdin is not None and self.process.stdout is not None
        try:
            self.process.stdin.write(f"{steps}\n")
            self.process.stdin.flush()
            answer = json.loads(self.process.stdout.readline())
        except (OSError, ValueError):
            return None
        self.parameters = answer["parameters"]
        return answer["seconds"] / steps


def measure(sides: list[Side], steps: int, rounds: int, warm_up: int) -> None:
    """Fill in the sides' times: `rounds` blocks of `steps` each, in turn, after a first block to warm up."""
    threads = {"OMP_NUM_THREADS": str(sides[0].settings["threads"]), "TOKENIZERS_PARALLELISM": "false"}
    for side in sides:
        command = [side.python, str(SIDE), json.dumps(side.settings)]
        side.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | threads
        )
    try:
        alive = [side for side in sides if side.run(warm_up) is not None]
        for _ in range(rounds):
            for side in alive:
                if (seconds := side.run(steps)) is not None:
                    side.times.append(seconds)
    finally:
        for side in sides:
            assert side.process is not None and side.process.stdin is not None
            with suppress(BrokenPipeError):  # of a side that has died
                side.process.stdin.close()
            side.process.wait()


def best(sides: list[Side]) -> Side | None:
    """The fastest of a project's settings."""
    ran = [side for side in sides if side.seconds is not None]
    return min(ran, key=lambda side: side.seconds or 0.0) if ran else None


def has(python: str, *modules: str) -> bool:
    """Whether an interpreter finds all of these modules."""
    code = f"import importlib.util as u, sys; sys.exit(not all(u.find_spec(m) for m in {modules!r}))"
    return subprocess.run([python, "-c", code], check=False).returncode == 0
