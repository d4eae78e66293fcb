"""Scaling laws as formulas: the loss, the best learning rate and batch; published ones, and files of fitted ones.

    FILE.json    {"loss": {E, A, B, alpha, beta, gamma, ranges, source},
                  "learning_rate": {factor, exponents, ranges, source}, "batch_tokens": …}

N counts all parameters, D the tokens of a training; a loss is in nats a token.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..core.errors import InputError
from ..core.files import write_json

FLOPS_PER_PARAMETER = 6  # a token, forward and backward: C = 6 N D (Kaplan et al. 2020)


class Law(BaseModel):
    """Any of the laws below. `ranges` spans the points that it was fitted to, by measure."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    source: str
    ranges: dict[str, tuple[float, float]] = {}

    def beyond(self, **measures: float) -> list[str]:
        """Of the measures, those that lie outside the points, as words."""
        spans = {name: self.ranges[name] for name in measures if name in self.ranges}
        return [
            f"{name.replace('_', ' ')} {measures[name]:.3g} outside {low:.3g} … {high:.3g}"
            for name, (low, high) in spans.items()
            if not low <= measures[name] <= high
        ]


class LossLaw(Law):
    """L(N, D) = E + (A / N^alpha + B / D^beta)^gamma.

    With gamma = 1 it is additive (Hoffmann et al. 2022, equation 2): more tokens lower the loss of every size alike.
    Below 1 the two are coupled, and they lower a larger model's loss by more; E = 0 and beta = 1 is equation 1.5 of
    Kaplan et al. 2020. The best size of a compute is the same function of the other constants.
    """

    E: float = Field(ge=0)
    A: float = Field(gt=0)
    B: float = Field(gt=0)
    alpha: float = Field(gt=0)
    beta: float = Field(gt=0)
    gamma: float = Field(default=1.0, gt=0, le=1)

    def loss(self, parameters: Any, tokens: Any) -> Any:
        """Nats a token; takes numbers or arrays."""
        both = self.A / np.power(parameters, self.alpha) + self.B / np.power(tokens, self.beta)
        return self.E + np.power(both, self.gamma)

    @property
    def formula(self) -> str:
        """As people write it, with names for constants."""
        both = "A/N^alpha + B/D^beta"
        return f"E + {both}" if self.gamma == 1 else f"E + ({both})^gamma"

    @property
    def exponent(self) -> float:
        """a of N ∝ C^a, the best number of parameters for compute C; D ∝ C^(1 - a)."""
        return self.beta / (self.alpha + self.beta)

    def optimum(self, flops: float) -> tuple[float, float]:
        """The parameters and tokens of the lowest loss with 6 N D = flops (Hoffmann et al. 2022, equation 4)."""
        ratio = (self.alpha * self.A / (self.beta * self.B)) ** (1 / (self.alpha + self.beta))
        product = flops / FLOPS_PER_PARAMETER
        return ratio * product**self.exponent, product ** (1 - self.exponent) / ratio

    def tokens_for(self, parameters: float) -> float:
        """The tokens with which a model of so many parameters is the best one for its compute."""
        log = math.log(self.beta * self.B / (self.alpha * self.A)) + self.alpha * math.log(parameters)
        return math.exp(log / self.beta)


class PowerLaw(Law):
    """factor · Π measure^exponent over parameters, block_parameters (all but embedding and output layer), tokens."""

    factor: float = Field(gt=0)
    exponents: dict[Literal["parameters", "block_parameters", "tokens", "flops"], float]

    def value(self, **measures: float) -> float:
        """The law's value, for example value(parameters=1e8, tokens=2e9). What the law does not name is not read."""
        return self.factor * math.prod(measures[name] ** power for name, power in self.exponents.items())


class Laws(BaseModel):
    """What a row of the scaling table is derived from."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    loss: LossLaw
    learning_rate: PowerLaw
    batch_tokens: PowerLaw


_HOFFMANN_POINTS = {"parameters": (7e7, 1.6e10), "tokens": (5e9, 5e11)}
CHINCHILLA = LossLaw(
    E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28, ranges=_HOFFMANN_POINTS, source="Hoffmann et al. 2022, approach 3"
)
# Hoffmann's third approach contradicts the other two of the paper; this fit of their points agrees with those.
BESIROGLU = LossLaw(
    E=1.8172, A=482.01, B=2085.43, alpha=0.3478, beta=0.3658, ranges=_HOFFMANN_POINTS, source="Besiroglu et al. 2024"
)
_STEP_LAW = "Step Law (Li et al. 2025)"
_STEP_TOKENS = (2e9, 1e11)
PUBLISHED = Laws(
    loss=BESIROGLU,
    learning_rate=PowerLaw(
        factor=1.79,
        exponents={"block_parameters": -0.713, "tokens": 0.307},
        ranges={"block_parameters": (6e7, 1e9), "tokens": _STEP_TOKENS},
        source=_STEP_LAW,
    ),
    batch_tokens=PowerLaw(factor=0.58, exponents={"tokens": 0.571}, ranges={"tokens": _STEP_TOKENS}, source=_STEP_LAW),
)
LOSS_LAWS = {"besiroglu": BESIROGLU, "chinchilla": CHINCHILLA}


def read_laws(path: Path) -> Laws:
    """Laws that `write_laws` wrote; what a file leaves out is the published law. Raises InputError."""
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        given = {name: raw[name] for name in Laws.model_fields if name in raw}
        if not given:
            raise ValueError(f"it holds none of {', '.join(Laws.model_fields)}")
        return Laws.model_validate({**PUBLISHED.model_dump(), **given})
    except OSError as error:
        raise InputError(
            f"{path}: {error.strerror}", "name the file that `crawl2chat tune laws --out` wrote"
        ) from error
    except ValidationError as error:
        wrong = error.errors()[0]
        key = ".".join(map(str, wrong["loc"]))
        raise InputError(f"{path}: {key}: {wrong['msg']} ({wrong.get('input')!r})", f"see to {key}") from error
    except (ValueError, TypeError) as error:
        raise InputError(f"{path} holds no laws: {error}", "write one with `crawl2chat tune laws --out`") from error


def write_laws(path: Path, laws: Mapping[str, Law], **more: Any) -> None:
    """Write some of loss, learning_rate, batch_tokens, and whatever else is to stand beside them."""
    write_json(path, {name: law.model_dump(mode="json") for name, law in laws.items()} | more)
