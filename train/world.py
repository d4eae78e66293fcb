"""The processes that train together, as the loop sees them: one alone, or the ranks of a torch.distributed group."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist


class World:
    """One process on its own: every collective gives back what it got."""

    rank = 0
    size = 1
    distributed = False
    group: dist.ProcessGroup | None = None

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

    def side_channel(self) -> World:
        """The same ranks, for a thread that must not get in between the collectives of this one; to be closed."""
        return self

    def close(self) -> None:
        """Give up a group of one's own; no rank may be waiting for another in it."""

    def agree(self, error: BaseException | None) -> None:
        """Raise, on every rank, the error of the first rank that has one; it costs one number when none has."""
        if float(self.sum(torch.tensor(float(error is not None), device=self.device))):
            raise next(one for one in self.gather(error) if one is not None)


class Distributed(World):
    """The ranks of the default process group, or all of them in a group of their own.

    patience: what a further group waits for a rank; torch gives it its own default, not that of the default group.
    """

    distributed = True

    def __init__(
        self,
        device: torch.device | str = "cpu",
        group: dist.ProcessGroup | None = None,
        patience: timedelta | None = None,
    ) -> None:
        super().__init__(device)
        self.rank, self.size, self.group, self._patience = dist.get_rank(), dist.get_world_size(), group, patience

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.detach().clone()
        dist.all_reduce(tensor, group=self.group)
        return tensor

    def broadcast(self, value: Any) -> Any:
        box = [value]
        dist.broadcast_object_list(box, src=0, device=self.device, group=self.group)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        found: list[Any] = [None] * self.size
        dist.all_gather_object(found, value, group=self.group)
        return found

    def side_channel(self) -> World:
        group = dist.new_group(backend="gloo", timeout=self._patience)
        assert isinstance(group, dist.ProcessGroup), "every rank belongs to it"
        return Distributed("cpu", group)

    def close(self) -> None:
        if self.group is not None:
            dist.destroy_process_group(self.group)
