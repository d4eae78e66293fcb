"""Drawing the next token of many texts at once, each by its own settings.

A text's tokens follow from its own logits and its own seed: the random numbers of all its steps are fixed when it
begins (`uniforms`), and turned into tokens by inverting the distribution function. So it does not matter which texts
are drawn beside it, nor in which row it stands, but for what the order of additions does to its logits.

Top-k and top-p are those of model/generation.py. Where they are asked for, tokens are sorted by likelihood; as a
nucleus rarely holds many tokens, only the likeliest are looked at first, and all where these are too few.

B texts, V vocabulary, C candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from .generation import check_settings

CANDIDATES = 256


@dataclass(frozen=True)
class Sampling:
    """How a text is drawn; at temperature 0 the likeliest token each time."""

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        check_settings(1, self.temperature, self.top_k, self.top_p)

    @property
    def cut(self) -> bool:
        """Whether only some tokens may be drawn."""
        return self.top_k is not None or (self.top_p is not None and self.top_p < 1)

    def uniforms(self, steps: int) -> list[float]:
        """The random numbers of the text's steps, in [0, 1); more steps have the same ones first."""
        if self.temperature == 0:
            return [0.0] * steps
        return torch.rand(steps, generator=torch.Generator().manual_seed(self.seed), dtype=torch.float64).tolist()


class BatchSampler:
    """The settings of a batch's rows as tensors; made anew when the rows change."""

    def __init__(self, rows: Sequence[Sampling], device: torch.device | str = "cpu") -> None:
        drawn = [(number, row) for number, row in enumerate(rows) if row.temperature > 0]
        self._free = _Rows([one for one in drawn if not one[1].cut], device)
        self._cut = _Rows([one for one in drawn if one[1].cut], device)

    def draw(self, logits_BV: Tensor, uniforms: Sequence[float]) -> list[int]:
        """A token for each row. `uniforms`: a number in [0, 1) for each row, unused where the likeliest is taken."""
        token_B = logits_BV.argmax(-1)
        for rows, draw in ((self._free, _from_all), (self._cut, _from_likeliest)):
            if rows.count:
                u_B1 = torch.tensor(uniforms, dtype=torch.float64, device=logits_BV.device)[rows.number_B, None]
                token_B[rows.number_B] = draw(logits_BV[rows.number_B] / rows.temperature_B1, u_B1, rows)
        return token_B.tolist()


class _Rows:
    """Some rows of the batch."""

    def __init__(self, rows: Sequence[tuple[int, Sampling]], device: torch.device | str) -> None:
        self.count = len(rows)
        self.most = max([CANDIDATES, *(row.top_k or 0 for _, row in rows)])
        self.number_B = torch.tensor([number for number, _ in rows], dtype=torch.int64, device=device)
        self.temperature_B1 = self._column([row.temperature for _, row in rows])
        self.k_B1 = self._column([float(row.top_k or torch.inf) for _, row in rows])
        self.p_B1 = self._column([2.0 if row.top_p is None else row.top_p for _, row in rows])  # 2: all of them

    def _column(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float32, device=self.number_B.device)[:, None]


def _from_all(scaled_BV: Tensor, u_B1: Tensor, rows: _Rows) -> Tensor:
    return _invert(scaled_BV.softmax(-1), u_B1)


def _from_likeliest(scaled_BV: Tensor, u_B1: Tensor, rows: _Rows) -> Tensor:
    """Drawn from the likeliest `most` tokens; rows whose nucleus is larger are drawn again from all."""
    token_B, enough_B = _nucleus(scaled_BV, u_B1, rows.k_B1, rows.p_B1, min(rows.most, scaled_BV.shape[1]))
    short = (~enough_B).nonzero().flatten()
    if short.numel():
        given = (scaled_BV[short], u_B1[short], rows.k_B1[short], rows.p_B1[short])
        token_B[short] = _nucleus(*given, candidates=scaled_BV.shape[1])[0]
    return token_B


def _nucleus(scaled_BV: Tensor, u_B1: Tensor, k_B1: Tensor, p_B1: Tensor, candidates: int) -> tuple[Tensor, Tensor]:
    """Tokens, and which of them are right: those whose top-k or nucleus lies within so many candidates."""
    top_BC, id_BC = scaled_BV.topk(candidates)
    behind_k_BC = torch.arange(candidates, device=top_BC.device) >= k_B1
    top_BC = top_BC.double().masked_fill(behind_k_BC, -torch.inf)
    all_B1 = scaled_BV.double().logsumexp(-1, keepdim=True)
    whole_B1 = torch.where(k_B1 <= candidates, top_BC.logsumexp(-1, keepdim=True), all_B1)
    p_BC = (top_BC - whole_B1).exp()
    sum_BC = p_BC.cumsum(-1)
    beside_BC = sum_BC - p_BC >= p_B1
    beside_BC[:, 0] = False  # the likeliest always stays
    enough_B = (k_B1 <= candidates).squeeze(1) | (sum_BC[:, -1] >= p_B1.squeeze(1)) | (candidates == scaled_BV.shape[1])
    place_B = _invert(p_BC.masked_fill(beside_BC, 0.0), u_B1)
    return id_BC.gather(1, place_B[:, None]).squeeze(1), enough_B


def _invert(p_BC: Tensor, u_B1: Tensor) -> Tensor:
    """The first place at which the summed probabilities exceed u times their whole sum: never one of probability 0."""
    sum_BC = p_BC.cumsum(-1, dtype=torch.float64)
    found_B1 = torch.searchsorted(sum_BC, u_B1 * sum_BC[:, -1:], right=True)
    return found_B1.clamp_max_(p_BC.shape[1] - 1).squeeze(1)
