"""The recipe's section for what a model knows: tasks with known answers. docs/evaluate.md explains it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import Field, model_validator

from .section import Section

Shots = int | list[int]
MOST_SHOTS = 64


class WhileTraining(Section):
    """Scores along pretraining, fine-tuning and alignment, beside the losses in metrics.jsonl and TensorBoard. They
    change no weight."""

    every: int = Field(ge=1, description="steps; after the last too, of `finetune` and `align` before the first")
    tasks: list[str] | None = Field(
        default=None, min_length=1, description="by default the section's, without those that generate"
    )
    limit: int = Field(default=200, ge=1, description="items of a task, spread over its subjects")
    shots: int = Field(default=0, ge=0, le=MOST_SHOTS)


class Evaluate(Section):
    """Tasks for the trained models, scored as lm-evaluation-harness scores them. A recipe without it has no stage."""

    tasks: list[str] = Field(min_length=1, description="mmlu, hellaswag, arc_easy, …: docs/evaluate.md lists them")
    data: str = Field(default="data", description="folder with the tasks' files, as mmlu/test.jsonl.gz")
    files: dict[str, str] = Field(
        default_factory=dict, description="of a task whose questions lie elsewhere: {mmlu: path}"
    )
    examples: dict[str, str] = Field(
        default_factory=dict, description="the same for what few-shot examples are drawn from"
    )
    shots: Shots | dict[str, Shots] = Field(
        default=0,
        description="solved examples before a question; [0, 5]: asked with each; {mmlu: 5}: of this task, 0 of others",
    )
    chat: bool = Field(
        default=False, description="ask models that have a chat template in it, with the examples as turns"
    )
    limit: int | None = Field(default=None, ge=1, description="items of a task, spread over its subjects; null: all")
    models: list[Literal["pretrain", "finetune", "align"]] = Field(
        default_factory=list, description="stages of the run; by default all that train a model"
    )
    batch_tokens: int = Field(default=4096, ge=1, description="of a forward, padding included")
    chunk: int = Field(default=256, ge=1, description="items of a Ray task")
    while_training: WhileTraining | None = None

    def shots_of(self, task: str) -> list[int]:
        """Numbers of examples before each question of a task, which is asked with each."""
        found = self.shots.get(task, 0) if isinstance(self.shots, dict) else self.shots
        return [found] if isinstance(found, int) else found

    def rooted(self, absolute: Callable[[str], str]) -> Evaluate:
        """With absolute paths."""
        files, examples = ({name: absolute(one) for name, one in x.items()} for x in (self.files, self.examples))
        return self.model_copy(update={"data": absolute(self.data), "files": files, "examples": examples})

    @model_validator(mode="after")
    def _fits(self) -> Evaluate:
        for name, given in (("tasks", self.tasks), ("models", [str(one) for one in self.models])):
            if twice := sorted({one for one in given if given.count(one) > 1}):
                raise ValueError(f"evaluate.{name} names {twice[0]} twice; name it once")
        shots = self.shots if isinstance(self.shots, dict) else {"": self.shots}
        for task, given in shots.items():
            at, numbers = f"evaluate.shots.{task}" if task else "evaluate.shots", self.shots_of(task)
            if not numbers or not all(0 <= number <= MOST_SHOTS for number in numbers):
                raise ValueError(f"{at} is {given}; give a number from 0 to {MOST_SHOTS}, or several")
            if len(set(numbers)) < len(numbers):
                raise ValueError(f"{at} is {given}; name each number once")
        return self
