"""The recipe's sections for chat data of others, for low-rank differences, and for alignment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from .section import Section
from .settings_guard import SpikeGuard
from .settings_optimizer import Optimizer

Layer = Literal["query", "key", "value", "output", "gate", "up", "down", "head"]


class Lora(Section):
    """A low-rank difference beside frozen weights (Hu et al. 2021), merged into them when the stage ends."""

    rank: int = Field(default=8, ge=1)
    alpha: float = Field(default=16.0, gt=0, description="the difference is scaled by alpha / rank")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="before the difference, in training")
    targets: list[Layer] = Field(default=["query", "value"], min_length=1, description="the layers that get one")


class ChatData(Section):
    """Conversations in the formats messages, ShareGPT and Alpaca, as JSON lines, a JSON array or parquet."""

    paths: list[str] = Field(min_length=1, description="files, or patterns of them")
    format: Literal["auto", "messages", "sharegpt", "alpaca"] = Field(
        default="auto", description="auto: found row by row; with another, rows of other formats are rejected"
    )
    template: Literal["house", "chatml", "jinja"] | None = Field(
        default=None,
        description="how conversations become tokens, in training and in the chat; null: as the recipe's base has it, "
        "without one house",
    )
    template_folder: str | None = Field(
        default=None, description="jinja: a Hugging Face folder, whose chat template is taken"
    )
    max_rejects: int = Field(default=100, ge=0, description="rows that are no conversations, before it is an error")
    too_long: Literal["drop", "truncate", "split"] = Field(
        default="drop", description="what becomes of conversations longer than the context"
    )
    packing: bool = Field(default=True, description="several conversations a row, each attended on its own")
    validation_share: float = Field(default=0.05, ge=0, lt=1, description="held out, by a hash of the first question")

    @model_validator(mode="after")
    def _fits_together(self) -> ChatData:
        if (self.template == "jinja") != (self.template_folder is not None):
            raise ValueError(
                f"finetune.data.template is {self.template}, and template_folder {self.template_folder}; "
                "give both, template: jinja and the folder that the template stands in, or neither"
            )
        return self

    def rooted(self, absolute: Callable[[str], str]) -> ChatData:
        """With absolute paths."""
        folder = self.template_folder and absolute(self.template_folder)
        return self.model_copy(update={"paths": [absolute(one) for one in self.paths], "template_folder": folder})


class PreferenceData(Section):
    """Prompts with a chosen and a rejected answer, of files, or made of the instruction pairs."""

    paths: list[str] = Field(default_factory=list, description=".json and .jsonl files, gzipped or not, or patterns")
    from_instructions: bool = Field(
        default=False,
        description="also pairs made of the stage instructions' questions: chosen is the answer, rejected another's",
    )
    max_rejects: int = Field(default=100, ge=0, description="rows that are no pairs, before it is an error")
    too_long: Literal["drop", "truncate"] = Field(
        default="drop", description="of pairs longer than the context; truncate keeps the answers' beginnings"
    )
    validation_share: float = Field(default=0.1, ge=0, lt=1, description="of the files' pairs, by a hash of the prompt")

    @property
    def given(self) -> bool:
        return bool(self.paths) or self.from_instructions

    def rooted(self, absolute: Callable[[str], str]) -> PreferenceData:
        """With absolute paths."""
        return self.model_copy(update={"paths": [absolute(one) for one in self.paths]})


class Grpo(Section):
    """Arithmetic problems by seed, answers sampled in groups, rewards by the number that an answer ends with."""

    problems: int = Field(default=2000, ge=1, description="of training")
    held_out: int = Field(default=64, ge=1, description="problems that progress is measured on, greedily")
    steps_a_problem: int = Field(default=1, ge=1, le=4, description="operations that a problem takes")
    largest: int = Field(default=9, ge=1, le=999, description="the largest number in a problem")
    group: int = Field(default=8, ge=2, description="answers to a problem, which are compared with each other")
    max_tokens: int = Field(default=48, ge=1, description="of an answer")
    temperature: float = Field(default=1.0, gt=0)
    updates: int = Field(default=1, ge=1, description="steps that are taken with the same answers")
    clip: float = Field(default=0.2, gt=0, lt=1, description="of the ratio of new to old probabilities")
    kl_weight: float = Field(default=0.04, ge=0, description="of the divergence from the model that there was")


class Align(Section):
    """Learning from preferences (dpo, ipo), a model of them (reward), or learning from what can be checked (grpo)."""

    method: Literal["dpo", "ipo", "reward", "grpo"] = "dpo"
    data: PreferenceData = PreferenceData()
    beta: float = Field(default=0.1, gt=0, description="dpo, ipo: how much a step away from the reference has to gain")
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5, description="dpo: share of labels taken for wrong")
    length_normalised: bool = Field(default=False, description="dpo, ipo: log-ratios as means over an answer's tokens")
    grpo: Grpo = Grpo()
    lora: Lora | None = None
    steps: int = Field(default=100, ge=1)
    batch: int = Field(default=8, ge=1, description="pairs, or problems of grpo, in a step, all workers together")
    optimizer: Optimizer = Optimizer(learning_rate=1e-4, warmup_steps=10, weight_decay=0.0)
    guard: SpikeGuard = SpikeGuard()
    log_every: int = Field(default=10, ge=1)
    validate_every: int = Field(default=50, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)
    keep_checkpoints: int = Field(default=1, ge=1, description="the newest")
    keep_every: int | None = Field(default=None, ge=1, description="steps: checkpoints at multiples of it stay as well")

    @model_validator(mode="after")
    def _fits_together(self) -> Align:
        if self.method != "grpo" and not self.data.given:
            raise ValueError(
                f"align.method is {self.method}, but align.data names no pairs; "
                "give align.data.paths, or set align.data.from_instructions: true"
            )
        if self.label_smoothing and self.method != "dpo":
            raise ValueError(
                f"align.label_smoothing is {self.label_smoothing} with the method {self.method}, which has no such "
                "form; leave it out, or set align.method: dpo"
            )
        if self.method == "reward" and self.lora is not None and "head" in self.lora.targets:
            raise ValueError(
                "align.lora.targets has head, but a reward model has a head of its own; leave it out of the targets"
            )
        if self.method == "grpo" and self.lora is not None and self.lora.dropout:
            raise ValueError(
                f"align.lora.dropout is {self.lora.dropout} with the method grpo, which compares the model's "
                "probabilities before and after a step: what is dropped would tell them apart; set it to 0"
            )
        for name in ("steps", "checkpoint_every", "keep_every") if self.method == "grpo" else ():
            if (value := getattr(self, name)) is not None and value % self.grpo.updates:
                raise ValueError(
                    f"align.{name} is {value}, which align.grpo.updates ({self.grpo.updates}) does not divide; "
                    "the answers of a round are in no checkpoint: give a multiple"
                )
        return self

    @property
    def answers(self) -> bool:
        """Whether the aligned model answers; a reward model gives a number."""
        return self.method != "reward"

    def rooted(self, absolute: Callable[[str], str]) -> Align:
        """With absolute paths."""
        return self.model_copy(update={"data": self.data.rooted(absolute)})
