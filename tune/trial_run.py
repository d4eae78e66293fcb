"""What a trial's process does: train the row, measure, report; from its newest checkpoint on, when it was interrupted.

The trial reads the run's token shards through the same keyed order, and trains and validates with the same functions,
as pretraining does.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch.utils._pytree import tree_map

from ..core.errors import Crawl2ChatError, DivergedError
from ..model.config import ModelConfig
from ..tokenize.bpe import Tokenizer
from ..train import checkpoints
from ..train.allocator import keep_freed_memory
from ..train.loop import Hooks, Plan, train
from ..train.mixture import open_rows
from ..train.optimizer import make_optimizer
from ..train.saving import save as save_checkpoint
from ..train.schedule import Schedule, learning_rates, stable_until
from ..train.strategies import build, spread
from ..train.validation import ValidationTokens, validate
from ..train.world import World
from .spent import has_ended
from .trial import EvenSample, Trial

WORST = 1e6  # stands for a loss that is not finite
Report = dict[str, Any]
Tell = Callable[[Report, Callable[[Path], None] | None], None]  # a report, and what writes a checkpoint to a folder


def scored(loss: float) -> float:
    """A loss that is not finite as a bad one: searchers would not learn of it, and schedulers compare with it."""
    return loss if math.isfinite(loss) else WORST


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, torch.Tensor) else value


class TrialRun:
    """A trial in its process, or one rank's part of it. `tell` hands reports on.

    A report: step and tokens of all that was trained, branches too; `at`, the tokens of the run without them; `branch`,
    1 at the end of a ladder's shorter length; `rung`, which counts reports; validation_loss, bits_per_byte; state (ok,
    diverged, failed); `lengths`, JSON of what was measured at each length's end: [{tokens, steps, validation_loss,
    bits_per_byte, seconds, cpu_seconds}]; seconds and cpu_seconds of the trial, own_cpu_seconds, own_steps and
    own_tokens of this start of it, which began at `began` and, if `resumed`, from a checkpoint; `score`, the loss as
    schedulers and searchers see it.
    """

    def __init__(self, trial: Trial, tell: Tell, checkpoint: Path | None = None, world: World | None = None) -> None:
        """From the newest checkpoint in the folder `checkpoint`, if there is one."""
        torch.set_num_threads(1)
        keep_freed_memory()
        self.trial, self.tell, self.world = trial.settled(), tell, world or World()
        tokenizer = Tokenizer.load(Path(trial.tokenizer))
        context = trial.model.context
        self.token_bytes, self.digest = tokenizer.token_bytes(), tokenizer.digest
        self.data = open_rows([Path(path) for path in trial.train_paths], context, trial.mixture)
        held_out = ValidationTokens([Path(path) for path in trial.validation_paths], context, tokenizer.end_of_text)
        self.sample = EvenSample(held_out, trial.validation_rows)
        self.config = ModelConfig.from_settings(trial.model, tokenizer.vocab_size)
        model = build(self.config, trial.seed, trial.precision, self.world, trial.parallel)
        model.document_begin = tokenizer.end_of_text if trial.document_mask else None
        optimizer = make_optimizer(model, self.trial.optimizer)
        self.done = 0  # steps of the run to the longest length
        self.branched = 0  # steps of branches
        self.own_steps = 0  # of this start
        self.measured: list[dict[str, float]] = []  # of each length that has ended
        self._before, self._cpu_before, self._resumed = 0.0, 0.0, 0  # seconds, of earlier starts
        self._began, self._cpu_began, self._saved = time.time(), time.process_time(), time.time()
        if checkpoint is not None and (newest := checkpoints.newest(checkpoint)) is not None:
            self._load(newest, model, optimizer)
        clip = self.trial.optimizer.clip_norm
        self.model, self.optimizer = spread(model, optimizer, trial.precision, clip, self.world, trial.parallel)

    def run(self) -> None:
        """To the end of the longest length. A loss that is not finite is a last report."""
        try:
            self._train()
        except DivergedError:
            self._report(self.done, {"validation_loss": math.nan, "bits_per_byte": math.nan}, "diverged")

    def _train(self) -> None:
        steps, optimizer = self.trial.steps, self.trial.optimizer
        longest = learning_rates(optimizer, steps[-1])
        for place in range(len(self.measured), len(steps) - 1):
            stable = stable_until(optimizer, steps[place])
            self._advance(longest, stable)
            self._branch(place, stable)
        self._advance(longest, steps[-1], last=True)

    def _advance(self, schedule: Schedule, until: int, last: bool = False) -> None:
        """The run to the longest length, to a step of it."""

        def check(step: int) -> None:
            self.own_steps += step - self.done
            self.done = step
            found = self._validate(step)
            if last and step == until:
                self._note(step, found)
            self._report(step, found, save=step < until or not last)

        if self.done < until:
            self._steps(schedule, self.done, until, check)

    def _branch(self, place: int, stable: int) -> None:
        """The decay of a shorter length, after which model and optimizer are what they were."""
        steps = self.trial.steps[place]
        kept = tree_map(_copied, checkpoints.state_of(self.model, self.optimizer))

        def check(step: int) -> None:
            if step == steps:
                found = self._validate(step)
                self.branched += steps - stable
                self.own_steps += steps - stable
                self._note(steps, found)
                self._report(self.done, found, branch=1)

        self._steps(learning_rates(self.trial.optimizer, steps), stable, steps, check)
        assert isinstance(self.optimizer, torch.optim.Optimizer), "DeepSpeed is refused where the trials are planned"
        checkpoints.put_back(kept, self.model, self.optimizer)

    def _steps(self, schedule: Schedule, done: int, until: int, check: Callable[[int], None]) -> None:
        every = self.trial.report_every
        plan = Plan(
            steps=until,
            batch=self.trial.batch,
            seed=self.trial.seed,
            precision=self.trial.precision,
            clip_norm=self.trial.optimizer.clip_norm,
            log_every=every,  # where the loop looks whether the loss is finite
            validate_every=every,
            checkpoint_every=until,
        )
        train(self.model, self.optimizer, schedule, self.data, plan, self.world, Hooks(on_validate=check), done)

    def _validate(self, step: int) -> dict[str, float]:
        found = validate(self.model, self.sample, self.token_bytes, self.trial.batch, self.trial.precision, self.world)
        if not math.isfinite(found["validation_loss"]):
            raise DivergedError(f"step {step}: the validation loss is {found['validation_loss']}")
        return found

    def _note(self, step: int, found: dict[str, float]) -> None:
        tokens = step * self.trial.tokens_per_step
        self.measured.append({"steps": step, "tokens": tokens, **found, **self._seconds()})

    def _seconds(self) -> dict[str, float]:
        return {
            "seconds": self._before + time.time() - self._began,
            "cpu_seconds": self._cpu_before + time.process_time() - self._cpu_began,
        }

    def _report(
        self, step: int, found: dict[str, float], state: str = "ok", branch: int = 0, save: bool = False
    ) -> None:
        due = save and time.time() - self._saved >= self.trial.checkpoint_seconds
        self._saved = time.time() if due else self._saved
        steps = step + self.branched
        report = {"step": steps, "tokens": steps * self.trial.tokens_per_step, **found, **self._seconds()}
        report |= {"rung": -(-step // self.trial.report_every)}
        report |= {"state": state, "branch": branch, "at": step * self.trial.tokens_per_step}
        report |= {"lengths": json.dumps(self.measured), "began": self._began, "now": time.time()}
        report |= {"resumed": self._resumed, "own_cpu_seconds": time.process_time() - self._cpu_began}
        report |= {"own_steps": self.own_steps, "own_tokens": self.own_steps * self.trial.tokens_per_step}
        report |= {"score": scored(found["validation_loss"])}
        self.tell(report, self.save if due else None)

    def save(self, folder: Path) -> None:
        """Write a checkpoint into `folder`."""
        meta = checkpoints.Meta(
            step=self.done,
            tokens_seen=self.done * self.trial.tokens_per_step,
            model=self.config.to_dict(),
            tokenizer_digest=self.digest,
            data_digest="",
            recipe={"measured": self.measured, "branched": self.branched, **self._seconds()},
            files={},
        )
        save_checkpoint(folder, self.model, self.optimizer, meta, self.world, "trial", keep=1)

    def _load(self, path: Path, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        meta = checkpoints.read_meta(path)
        checkpoints.load(path, model, optimizer, self.world)
        self.done, kept = meta.step, meta.recipe
        self.measured, self.branched = list(kept["measured"]), kept["branched"]
        self._before, self._cpu_before, self._resumed = kept["seconds"], kept["cpu_seconds"], 1


def failed(error: str) -> Report:
    """The last report of a trial that could not begin, or that has raised something."""
    nothing = dict.fromkeys(("step", "tokens", "rung", "branch", "at", "resumed", "own_steps", "own_tokens"), 0)
    seconds = dict.fromkeys(("seconds", "cpu_seconds", "own_cpu_seconds"), 0.0)
    losses = dict.fromkeys(("validation_loss", "bits_per_byte"), math.nan)
    told = {
        "score": WORST,
        "state": "failed",
        "error": error,
        "lengths": "[]",
        "began": time.time(),
        "now": time.time(),
    }
    return {**nothing, **seconds, **losses, **told}


def ended_before(trial: Trial) -> bool:
    """Whether this trial of Ray Tune's had ended already: a driver that was killed soon after may not have said so in
    Ray Tune's state, which is written every two seconds.

    Where trials go on from each other's checkpoints, one that had ended may have been given another's.
    """
    from ray import tune

    if not trial.checkpoint_seconds:
        return False
    context = tune.get_context()
    reported = Path(trial.folder, context.get_experiment_name(), Path(context.get_trial_dir()).name)
    return has_ended(reported, len(trial.lengths))


def run_trial(config: dict[str, Any]) -> None:
    """Ray Tune's trainable: `config["trial"]` with `config["values"]` of the search space, in this process."""
    from ray import tune

    trial = Trial.model_validate(config["trial"])

    def tell(report: Report, save: Callable[[Path], None] | None) -> None:
        if save is None:
            tune.report(report)
            return
        folder = Path(tempfile.mkdtemp(prefix="trial-"))
        try:
            save(folder)
            tune.report(report, checkpoint=tune.Checkpoint(str(folder)))
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    trial = trial.with_values(config.get("values", {}))
    if ended_before(trial):
        return
    found = tune.get_checkpoint()
    try:
        with found.as_directory() if found else nullcontext() as folder:
            run = TrialRun(trial, tell, Path(folder) if folder else None)
    except Crawl2ChatError as error:  # repeating would not mend it, and a failure of Ray's would be repeated
        tune.report(failed(error.message))
        return
    run.run()
