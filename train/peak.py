"""The machine's peak: what products of large square matrices reach, which MFU is measured against.

By `torch.matmul`, or by the model's own layers where those are faster (model/products.py). Measured once for a machine,
device, number of threads and of ranks, and type of number, and kept in the user's cache folder (XDG_CACHE_HOME). Ranks
that share a machine measure at the same time, as they will train.
"""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from contextlib import suppress
from pathlib import Path

import torch

from ..core.files import write_text
from ..model.products import BY_ONEDNN, linear

SIZE = {"cpu": 1024, "cuda": 8192}
TRIES = 8


def peak_flops(device: torch.device, precision: str, ranks: int) -> float:
    """FLOPs a second of this process's threads or device; a product of n × n matrices counts 2 n³."""
    kind = torch.bfloat16 if precision == "bf16" and device.type != "cpu" else torch.float32
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or platform.machine()
    threads = f"{torch.get_num_threads()} threads of {ranks}"
    key = f"{socket.gethostname()}, {name}, {threads}, {kind}, torch {torch.__version__}, {'onednn' * BY_ONEDNN}"
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crawl2chat" / "peak.json"
    known = _read(cache)
    if key not in known:
        known[key] = measure(device, kind)
        with suppress(OSError):  # nowhere to keep it: it is measured again next time
            write_text(cache, json.dumps(_read(cache) | known, indent=1))
    return known[key]


@torch.no_grad()
def measure(device: torch.device, kind: torch.dtype) -> float:
    """The best of some products of random matrices."""
    size = SIZE.get(device.type, SIZE["cuda"])
    left = torch.randn(size, size, device=device, dtype=kind)
    best = float("inf")
    for multiply in (torch.matmul, linear):
        for _ in range(TRIES):
            began = time.perf_counter()
            float(multiply(left, left)[0, 0])  # waits for the device
            best = min(best, time.perf_counter() - began)
    return 2 * size**3 / best


def _read(cache: Path) -> dict[str, float]:
    try:
        known = json.loads(cache.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
