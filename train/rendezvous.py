"""Where the workers of a training meet: as Ray Train arranges it, but on a machine of its own on loopback alone.

Ray has torch open a store for it, which listens on every interface and asks nobody who he is. In a Ray whose nodes go
by loopback's address (core/session.py) the store listens there: the socket is bound first, and handed to torch.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import ray
import torch.distributed as dist
from ray.train._internal.utils import get_address_and_port
from ray.train.torch import TorchConfig
from ray.train.torch.config import _set_torch_distributed_env_vars, _TorchBackend
from torch._C._distributed_c10d import TCPStore

LOOPBACK = "127.0.0.1"
_stores: list[TCPStore] = []  # of this process: what rank 0 keeps open for all


@dataclass
class MeetingConfig(TorchConfig):
    """Ray's TorchConfig, for trainers of ours."""

    @property
    def backend_cls(self) -> type[_TorchBackend]:
        return MeetingBackend


class MeetingBackend(_TorchBackend):
    """Sets up torch's process group when the workers have started."""

    def on_start(self, worker_group: Any, backend_config: TorchConfig) -> None:
        address, _ = worker_group.execute_single(0, get_address_and_port)
        if not ipaddress.ip_address(address).is_loopback:
            super().on_start(worker_group, backend_config)
            return
        worker_group.execute(_set_torch_distributed_env_vars)
        port, size = worker_group.execute_single(0, open_store), len(worker_group)
        asked = {"backend": backend_config.backend, "size": size, "port": port, "seconds": backend_config.timeout_s}
        ray.get([worker_group.execute_single_async(rank, join, world_rank=rank, **asked) for rank in range(size)])


def open_store() -> int:
    """Open the store in this process; returns its port."""
    with socket.socket() as bound:
        bound.bind((LOOPBACK, 0))
        port = int(bound.getsockname()[1])
        _stores[:] = [TCPStore(LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=bound.detach())]
    return port


def join(backend: str, world_rank: int, size: int, port: int, seconds: float) -> None:
    """Make this process the rank of the default group."""
    wait = timedelta(seconds=seconds)
    store = TCPStore(LOOPBACK, port, wait_for_workers=False, timeout=wait)
    dist.init_process_group(backend, store=store, rank=world_rank, world_size=size, timeout=wait)
