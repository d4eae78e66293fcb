"""Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") beside AdamW, sharded or not.

A matrix's update is its momentum made orthogonal: with the singular value decomposition U S Vᵀ, about U Vᵀ. That needs
the whole matrix. Of a sharded one every rank holds some rows, of the momentum too; so the matrices are dealt out among
the ranks, each gets all rows of its own, makes them orthogonal, and gives every rank its rows back: two all-to-alls a
step for all matrices together, and no matrix is worked on twice. Ranks that hold the same (data parallel, or the
replicas of hybrid sharding) do the same work, with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate, Shard
from torch.optim import AdamW

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # Jordan's quintic: steep at 0, singular values end within 0.7 … 1.2


class MuonAdamW(AdamW):
    """Parameter groups with the key `muon` (a dump of the recipe's section of that name) get Muon, the others AdamW.

    One optimizer for both, so that its state has one place in checkpoints: `momentum` of each matrix, with the
    parameter's own sharding. Muon's groups hold parameters of two dimensions only.
    """

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        assert closure is None, "the loop computes the loss itself"
        groups = self.param_groups
        for group in groups:
            if "muon" in group:
                self._muon(group)
        self.param_groups = [group for group in groups if "muon" not in group]
        try:
            super().step()
        finally:
            self.param_groups = groups

    def _muon(self, group: dict[str, Any]) -> None:
        settings = group["muon"]
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        if not parameters:
            return
        momenta = []
        for parameter in parameters:
            state = self.state[parameter]
            if "momentum" not in state:
                state["momentum"] = torch.zeros_like(parameter)
                state["step"] = torch.zeros((), dtype=torch.float32)  # AdamW wants one when it reads a state
            state["step"] += 1
            momenta.append(state["momentum"])
        weights, held, gradients = (_local(part) for part in (parameters, momenta, [p.grad for p in parameters]))
        beta = settings["momentum"]
        torch._foreach_lerp_(held, gradients, 1 - beta)  # pyright: ignore[reportPrivateImportUsage]
        directions = held
        if settings["nesterov"]:
            directions = torch._foreach_lerp(gradients, held, beta)  # pyright: ignore[reportPrivateImportUsage]
        updates = _orthogonal(parameters, directions, settings["iterations"])
        for parameter, weight, update in zip(parameters, weights, updates, strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            weight.add_(update, alpha=-group["lr"] * _scale(parameter.shape, settings["match_adamw"]))


def orthogonalize(matrices_NRC: Tensor, iterations: int, dtype: torch.dtype) -> Tensor:
    """About U Vᵀ of each matrix U S Vᵀ of a stack, by Newton-Schulz iterations of degree five in `dtype`.

    Products of the smaller side: a tall matrix is turned first. A zero matrix stays zero.
    """
    a, b, c = COEFFICIENTS
    x = matrices_NRC.to(dtype)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)  # the spectral norm is then at most 1
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if tall else x).to(matrices_NRC.dtype)


def owners(shapes: Sequence[tuple[int, int]], ranks: int) -> list[int]:
    """The rank that works on each matrix: the most expensive first, each to whoever has the least to do so far."""
    load, owner = [0] * ranks, [0] * len(shapes)
    cost = [rows * columns * min(rows, columns) for rows, columns in shapes]
    for matrix in sorted(range(len(shapes)), key=lambda i: (-cost[i], i)):
        owner[matrix] = min(range(ranks), key=lambda rank: (load[rank], rank))
        load[owner[matrix]] += cost[matrix]
    return owner


def _orthogonal(parameters: Sequence[Tensor], directions: Sequence[Tensor], iterations: int) -> list[Tensor]:
    """The orthogonal updates of this rank's rows of each parameter. `directions` are local rows."""
    dtype = torch.float32 if directions[0].device.type == "cpu" else torch.bfloat16  # CPUs emulate bfloat16
    sharded = _sharding(parameters[0])
    if sharded is None:
        return _by_shape(directions, iterations, dtype)
    group, ranks, me = sharded
    shapes = [cast(tuple[int, int], tuple(parameter.shape)) for parameter in parameters]
    owner = owners(shapes, ranks)
    mine = [i for i in range(len(shapes)) if owner[i] == me]
    # To rank r: my rows of r's matrices; from rank r: its rows of mine.
    out = [[_rows(shapes[i], ranks, me) for i in range(len(shapes)) if owner[i] == r] for r in range(ranks)]
    into = [[_rows(shapes[i], ranks, r) for i in mine] for r in range(ranks)]
    ordered = [directions[i] for r in range(ranks) for i in range(len(shapes)) if owner[i] == r]
    received = _exchange(ordered, out, into, group, directions[0])
    whole = [torch.cat([received[r][place] for r in range(ranks)]) for place in range(len(mine))]
    done = _by_shape(whole, iterations, dtype)
    pieces = [matrix.split([into[r][place][0] for r in range(ranks)]) for place, matrix in enumerate(done)]
    returned = _exchange([piece[r] for r in range(ranks) for piece in pieces], into, out, group, directions[0])
    at = [iter(part) for part in returned]
    return [next(at[owner[i]]) for i in range(len(shapes))]


def _by_shape(matrices: Sequence[Tensor], iterations: int, dtype: torch.dtype) -> list[Tensor]:
    """Matrices of one shape go through the iterations together: a few large products instead of many small ones."""
    stacks: dict[torch.Size, list[int]] = {}
    for i, matrix in enumerate(matrices):
        stacks.setdefault(matrix.shape, []).append(i)
    done: list[Tensor] = list(matrices)
    for places in stacks.values():
        stack = orthogonalize(torch.stack([matrices[i] for i in places]), iterations, dtype)
        for i, matrix in zip(places, stack, strict=True):
            done[i] = matrix
    return done


def _exchange(
    send: Sequence[Tensor],
    out: Sequence[Sequence[tuple[int, int]]],
    into: Sequence[Sequence[tuple[int, int]]],
    group: dist.ProcessGroup,
    like: Tensor,
) -> list[list[Tensor]]:
    """One all-to-all of lists of matrices, whose shapes are `out` by receiver and `into` by sender."""
    flat = torch.cat([like.new_empty(0), *(matrix.reshape(-1) for matrix in send)])
    sizes = [[rows * columns for rows, columns in shapes] for shapes in into]
    received = flat.new_empty(sum(map(sum, sizes)))
    leaving = [sum(rows * columns for rows, columns in shapes) for shapes in out]
    dist.all_to_all_single(received, flat, [sum(part) for part in sizes], leaving, group=group)
    parts = received.split([size for part in sizes for size in part])
    found = iter(parts)
    return [[next(found).view(shape) for shape in shapes] for shapes in into]


def _rows(shape: tuple[int, int], ranks: int, rank: int) -> tuple[int, int]:
    """Shape of a rank's rows of a matrix that is sharded by rows: whole chunks for the first ranks, as in DTensor."""
    chunk = -(-shape[0] // ranks)
    return max(0, min(shape[0], (rank + 1) * chunk) - rank * chunk), shape[1]


def _sharding(parameter: Tensor) -> tuple[dist.ProcessGroup, int, int] | None:
    """Group, size and rank of the mesh dimension over which a parameter's rows are sharded; None when whole."""
    if not isinstance(parameter, DTensor):
        return None
    places = [i for i, placement in enumerate(parameter.placements) if not isinstance(placement, Replicate)]
    assert len(places) == 1 and parameter.placements[places[0]] == Shard(0), parameter.placements
    mesh = parameter.device_mesh
    return mesh.get_group(places[0]), mesh.size(places[0]), mesh.get_local_rank(places[0])


def _scale(shape: Sequence[int], match_adamw: bool) -> float:
    """Factor of the learning rate by shape: updates of a like effect on activations, or of AdamW's usual size."""
    rows, columns = shape
    return 0.2 * max(rows, columns) ** 0.5 if match_adamw else max(1.0, rows / columns) ** 0.5


def _local(tensors: Sequence[Tensor | None]) -> list[Tensor]:
    return [cast(Tensor, t.to_local() if isinstance(t, DTensor) else t) for t in tensors]
