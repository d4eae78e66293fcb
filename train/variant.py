"""How a model in training differs from the plain Transformer of its configuration: low-rank differences, another head.

Both travel in a checkpoint's description, so that what reads one builds the same model: train/checkpoints.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..core.settings_alignment import Lora as Settings
from ..model.config import ModelConfig
from ..model.transformer import Transformer
from .lora import Lora, init_lora, inject
from .reward import RewardModel

OWN = ("lora_a", "lora_b")


@dataclass(frozen=True)
class Variant:
    """None of it: a plain Transformer."""

    lora: Lora | None = None
    reward: bool = False  # a number for each token in place of logits (train/reward.py)

    @classmethod
    def of(cls, settings: Settings | None, reward: bool = False) -> Variant:
        """From the recipe's section `lora`."""
        if settings is None:
            return cls(None, reward)
        return cls(Lora(**settings.model_dump(exclude={"targets"}), targets=tuple(settings.targets)), reward)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Variant:
        """The inverse of to_dict; what is empty is plain."""
        lora = raw.get("lora")
        return cls(lora and Lora(**lora | {"targets": tuple(lora["targets"])}), bool(raw.get("reward")))

    def to_dict(self) -> dict[str, Any]:
        """Empty for a plain Transformer, as in the checkpoints from before there were others."""
        lora = {"lora": asdict(self.lora) | {"targets": list(self.lora.targets)}} if self.lora else {}
        return lora | ({"reward": True} if self.reward else {})

    def make(self, config: ModelConfig) -> Transformer:
        """The model, without weights that mean anything: `init`, or a checkpoint's, come behind.

        Raises RecipeError where the model has no place for the differences.
        """
        model = RewardModel(config) if self.reward else Transformer(config)
        if self.lora is not None:
            inject(model, self.lora)
        if isinstance(model, RewardModel):
            model.head.requires_grad_(True)
        return model

    def init(self, model: Transformer, seed: int) -> None:
        """First weights, sharded or not."""
        model.init_weights(seed)
        if self.lora is not None:
            init_lora(model, seed)

    def is_new(self, name: str) -> bool:
        """Whether a parameter is one that the model to start from does not have."""
        different = self.lora is not None and name.rpartition(".")[2] in OWN
        return different or (self.reward and name.startswith("head."))


PLAIN = Variant()
