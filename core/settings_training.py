"""The recipe's sections for training, fine-tuning, sampling, and the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field, model_validator

from .section import Section
from .settings_alignment import ChatData, Lora
from .settings_guard import SpikeGuard
from .settings_optimizer import Optimizer
from .settings_parallel import Parallel

MARK = r"^[A-Za-z][A-Za-z0-9_-]*$"  # name of a custom resource
STANDARD = ("CPU", "GPU", "memory", "object_store_memory")  # Ray's own
SHARE = 0.001  # of a custom resource that marks where work belongs: it must never be what limits the work


class BatchStage(Section):
    """A stretch of batch-size warm-up."""

    steps: int = Field(ge=1)
    batch: int = Field(ge=1)


class Train(Section):
    """Pretraining."""

    steps: int = Field(default=500, ge=1)
    batch: int = Field(
        default=16, ge=1, description="rows of `context` tokens in an optimizer step, all workers together"
    )
    batch_warmup: list[BatchStage] = Field(
        default_factory=list,
        description="smaller batches at the start: [{steps: 100, batch: 4}, {steps: 50, batch: 8}]",
    )
    micro_batch: int | None = Field(
        default=None, ge=1, description="rows a worker computes at a time; null: its whole share"
    )
    z_loss: float = Field(default=0.0, ge=0, description="weight of log² of the softmax's sum; 1e-4 in PaLM")
    branch_from: str | None = Field(
        default=None,
        description="folder of a checkpoint in the stable phase of another run: this run decays from there to `steps`",
    )
    precision: Literal["fp32", "bf16"] = "fp32"
    document_mask: bool = Field(
        default=False, description="attention stays within a document, whose positions count from 0 in every row"
    )
    optimizer: Optimizer = Optimizer()
    guard: SpikeGuard = SpikeGuard()
    log_every: int = Field(default=10, ge=1)
    validate_every: int = Field(default=100, ge=1)
    checkpoint_every: int = Field(default=100, ge=1)
    keep_checkpoints: int = Field(default=2, ge=1, description="the newest")
    keep_every: int | None = Field(default=None, ge=1, description="steps: checkpoints at multiples of it stay as well")

    def rooted(self, absolute: Callable[[str], str]) -> Train:
        """With absolute paths."""
        return self.model_copy(update={"branch_from": self.branch_from and absolute(self.branch_from)})


class Mixture(Section):
    """How much of each source pretraining sees: one of the two, with every source named; 0 leaves a source out."""

    epochs: dict[str, float] | None = Field(
        default=None, description="times that a pass over the data goes through each source: {web: 1, wiki: 2}"
    )
    weights: dict[str, float] | None = Field(
        default=None, description="shares of the training tokens, in any unit: {web: 0.7, wiki: 0.3}"
    )

    @property
    def parts(self) -> dict[str, float]:
        return self.epochs or self.weights or {}

    @model_validator(mode="after")
    def _one_of_two(self) -> Mixture:
        if (self.epochs is None) == (self.weights is None):
            raise ValueError("mixture has epochs and weights, or neither; give one: {epochs: {web: 1, wiki: 2}}")
        for source, value in self.parts.items():
            if not 0 <= value <= 1e6:
                raise ValueError(f"mixture: {source} is {value}; give a number from 0 to 1e6")
        if not any(self.parts.values()):
            raise ValueError("mixture leaves every source out; give one of them more than 0")
        return self


class Instructions(Section):
    """Question/answer pairs made of the documents of one source: the title asks, the first sentences answer."""

    source: str = Field(default="wiki", description="name of the source whose titles are asked about")
    max_pairs: int = Field(default=10_000, ge=1)
    max_answer_chars: int = Field(default=300, ge=20)
    validation_share: float = Field(
        default=0.05, ge=0, lt=1, description="of the documents; by the hash that shards.validation_share uses too"
    )


class Finetune(Section):
    """Instruction tuning: loss on the answers only, of the instruction pairs and of `data`."""

    data: ChatData | None = None
    too_long: Literal["drop", "truncate", "split"] | None = Field(
        default=None,
        description="what becomes of instruction pairs longer than the context; null: truncate. With `data` its own "
        "too_long holds for them too",
    )
    lora: Lora | None = None
    ending_prompts: int = Field(
        default=32, ge=0, description="held-out prompts that are answered at the end: does the answer end by itself?"
    )
    ending_tokens: int = Field(default=128, ge=1, description="within how many tokens")
    steps: int = Field(default=100, ge=1)
    batch: int = Field(default=16, ge=1)
    optimizer: Optimizer = Optimizer(learning_rate=1e-3, warmup_steps=10, weight_decay=0.0)
    guard: SpikeGuard = SpikeGuard()
    log_every: int = Field(default=10, ge=1)
    validate_every: int = Field(default=50, ge=1)
    checkpoint_every: int = Field(default=50, ge=1)
    keep_checkpoints: int = Field(default=1, ge=1, description="the newest")
    keep_every: int | None = Field(default=None, ge=1, description="steps: checkpoints at multiples of it stay as well")

    @model_validator(mode="after")
    def _fits_together(self) -> Finetune:
        if self.data is not None and self.too_long is not None:
            raise ValueError(
                f"finetune.too_long is {self.too_long}, but with finetune.data its own too_long "
                f"({self.data.too_long}) holds for all; set finetune.data.too_long, and leave finetune.too_long out"
            )
        return self

    def rooted(self, absolute: Callable[[str], str]) -> Finetune:
        """With absolute paths."""
        return self.model_copy(update={"data": self.data and self.data.rooted(absolute)})


class Sampling(Section):
    """How text is drawn from the model, and what `run` shows at its end."""

    prompts: list[str] = Field(default_factory=list, description="continued by the base model")
    questions: list[str] = Field(default_factory=list, description="answered by the fine-tuned model")
    max_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=0.8, ge=0, description="0 takes the likeliest token")
    top_k: int | None = Field(default=None, ge=1)
    top_p: float | None = Field(default=0.95, gt=0, le=1)


class ShardCache(Section):
    """Training shards on the disks of the machines that train, for a `storage` across a network."""

    folder: str = Field(description="on each machine's own disk; its workers, and other runs there, share it")
    max_bytes: int = Field(ge=1, description="that it holds at most; shards beyond are read from storage")


class Resources(Section):
    """The machine. In no fingerprint (but the strategy, in bf16): data come out with the same bytes on any machine."""

    address: str | None = Field(default=None, description="of a running Ray; null starts a local one")
    cpus: int | None = Field(default=None, ge=1, description="of a local Ray; null: all")
    dashboard: bool = Field(default=False, description="of a local Ray: a dozen processes, some percent of two cores")
    train_workers: int = Field(default=2, ge=1)
    min_train_workers: int | None = Field(
        default=None, ge=1, description="elastic: train on with so many where there are no more; null: train_workers"
    )
    elastic_seconds: float = Field(default=60.0, gt=0, description="between two looks whether workers may be added")
    parallel: Parallel = Parallel()
    threads_per_worker: int = Field(default=1, ge=1)
    cpus_per_worker: float = Field(default=1, gt=0)
    gpus_per_worker: float = Field(default=0, ge=0)
    data_resource: str | None = Field(
        default=None,
        pattern=MARK,
        description="custom resource of the nodes that work on data: `data` in ray_cluster.yaml; null: any node",
    )
    train_resource: str | None = Field(
        default=None,
        pattern=MARK,
        description="the same of the nodes that train, fine-tune, align and evaluate: `train`",
    )
    shard_cache: ShardCache | None = None
    collective_seconds: int = Field(
        default=600, ge=1, description="that a training worker waits for the others; then it counts as failed"
    )
    max_failures: int = Field(default=3, ge=0, description="restarts of the training workers after a failure")
    object_store_bytes: int | None = Field(default=None, ge=80 << 20, description="of a local Ray; null: 512 MiB")
    price_per_cpu_hour: float | None = Field(default=None, ge=0, description="for the costs in the run's report")
    price_per_gpu_hour: float | None = Field(default=None, ge=0, description="the same, of a GPU")
    currency: str = Field(default="USD", min_length=1, max_length=8, description="of the prices")

    @model_validator(mode="after")
    def _marks(self) -> Resources:
        for key, name in (("data_resource", self.data_resource), ("train_resource", self.train_resource)):
            if name in STANDARD:
                raise ValueError(
                    f"resources.{key} is {name}, which every node has; name a custom resource that marks some, or null"
                )
        return self

    @property
    def training(self) -> dict[str, float]:
        """Processors that the training workers hold: {CPU, GPU}; of an elastic training at most."""
        return {
            kind: self.train_workers * each
            for kind, each in (("CPU", self.cpus_per_worker), ("GPU", self.gpus_per_worker))
        }

    @property
    def train_place(self) -> dict[str, float]:
        """What marks the nodes that train, as Ray's option `resources`."""
        return {self.train_resource: SHARE} if self.train_resource else {}

    @property
    def of_worker(self) -> dict[str, float]:
        """What a training worker takes of its node, by Ray's names."""
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker else {}
        return {"CPU": self.cpus_per_worker, **gpus, **self.train_place}

    @property
    def of_task(self) -> dict[str, Any]:
        """The same as options of a task: of one that works with a model outside of training."""
        gpus = {"num_gpus": self.gpus_per_worker} if self.gpus_per_worker else {}
        place = {"resources": self.train_place} if self.train_place else {}
        return {"num_cpus": self.cpus_per_worker, **gpus, **place}

    @property
    def marks(self) -> dict[str, float]:
        """The custom resources that are named, for a machine that has them all."""
        return {name: 1.0 for name in (self.data_resource, self.train_resource) if name is not None}

    @property
    def prices(self) -> dict[str, float]:
        """Of an hour of CPU and GPU, as far as they are given."""
        given = {"CPU": self.price_per_cpu_hour, "GPU": self.price_per_gpu_hour}
        return {kind: price for kind, price in given.items() if price is not None}
