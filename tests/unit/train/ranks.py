"""Several ranks on this machine, over gloo, without Ray."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

import torch
import torch.distributed as dist
import torch.multiprocessing
from crawl2chat.train.world import Distributed

Work = tuple[int, Callable[..., None], tuple[object, ...]]  # number of ranks, work(world, *arguments), arguments


def on_ranks(*works: Work) -> None:
    """Do one after the other, each in a group of so many ranks. Raises what the first rank to fail raised.

    The processes are the same ones for all works: starting them takes longer than most works do.
    """
    with ExitStack() as sockets:
        free = [sockets.enter_context(socket.socket()) for _ in works]
        for one in free:
            one.bind(("127.0.0.1", 0))
        ports = [one.getsockname()[1] for one in free]
    torch.multiprocessing.spawn(_one, (works, ports), nprocs=max(size for size, _, _ in works))


def _one(rank: int, works: tuple[Work, ...], ports: list[int]) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    store: dist.TCPStore | None = None
    joined = 0  # the size of the group that there is; DeepSpeed keeps hold of the first one that it sees
    for (size, work, arguments), port in zip(works, ports, strict=True):
        if size != joined:
            _leave(store, rank, joined)
            store, joined = None, size
            if rank < size:
                store = dist.TCPStore("127.0.0.1", port, size, is_master=rank == 0)
                dist.init_process_group("gloo", store=store, rank=rank, world_size=size)
        if rank < size:
            work(Distributed(), *arguments)
    _leave(store, rank, joined)


def _leave(store: dist.TCPStore | None, rank: int, size: int) -> None:
    """End the group when all are done with it: a connection that closes early may abort who still listens."""
    if store is None:
        return
    store.add("done", 1)
    while store.add("done", 0) < size:
        time.sleep(0.01)
    dist.destroy_process_group()
    store.add("left", 1)
    while rank == 0 and store.add("left", 0) < size:  # it is rank 0's store
        time.sleep(0.01)
