"""Accelerators by name: what a budget of hours buys, and what a sharded model has to fit into."""

from __future__ import annotations

from dataclasses import dataclass

from ..core.errors import InputError

MFU = 0.4  # of the peak, what well-kept runs of dense models reach; PaLM (Chowdhery et al. 2022) reports 0.46


@dataclass(frozen=True)
class Gpu:
    """Dense bf16 FLOPs a second with float32 sums, and bytes of memory, from the manufacturer's data sheet."""

    peak: float
    memory: float


GPUS = {
    "a100-40gb": Gpu(312e12, 40e9),
    "a100": Gpu(312e12, 80e9),
    "l40s": Gpu(362e12, 48e9),
    "h100": Gpu(989e12, 80e9),
    "h200": Gpu(989e12, 141e9),
    "b200": Gpu(2250e12, 180e9),
}


def find_gpu(name: str) -> Gpu:
    """The accelerator of this name. Raises InputError for one that is not listed."""
    if name.lower() not in GPUS:
        raise InputError(f"--gpu {name}: not listed", f"one of {', '.join(GPUS)}")
    return GPUS[name.lower()]


def flops_of(hours: float, gpus: int, gpu: str, mfu: float = MFU) -> float:
    """What so many GPUs compute in so many hours at a share `mfu` of their peak."""
    return hours * 3600 * gpus * find_gpu(gpu).peak * mfu


def hours_of(flops: float, gpus: int, gpu: str, mfu: float = MFU) -> float:
    """The inverse of flops_of."""
    return flops / flops_of(1, gpus, gpu, mfu)
