"""The processes that train together, as the loop sees them: one alone, or the ranks of a torch.distributed group."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist


class World:
    """One process on its own: every collective gives back what it got."""

    rank = 0
    size = 1
    distributed = False

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum over all ranks, the same on each."""
        return tensor

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        return value

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, by rank, on every rank."""
        return [value]

    def barrier(self) -> None:
        """Wait for all ranks."""

    def agree(self, error: Exception | None) -> None:
        """Raise, on every rank, the error of the first rank that has one; it costs one number when none has."""
        if float(self.sum(torch.tensor(float(error is not None), device=self.device))):
            raise next(one for one in self.gather(error) if one is not None)


class Distributed(World):
    """The ranks of the default process group."""

    distributed = True

    def __init__(self, device: torch.device | str = "cpu") -> None:
        super().__init__(device)
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.detach().clone()
        dist.all_reduce(tensor)
        return tensor

    def broadcast(self, value: Any) -> Any:
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value)
        return found

    def barrier(self) -> None:
        dist.all_reduce(torch.zeros(1, device=self.device))
