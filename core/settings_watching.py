"""The recipe's section for where the course of training is shown. In no fingerprint."""

from __future__ import annotations

from pydantic import Field

from .section import Section


class Watching(Section):
    """metrics.jsonl is always written."""

    tensorboard: bool = True
    wandb: str | None = Field(default=None, description="Weights & Biases: the project; extra `wandb`")
    mlflow: str | None = Field(
        default=None, description="MLflow: tracking URI, as sqlite:////absolute/mlflow.db or http://…; extra `mlflow`"
    )
