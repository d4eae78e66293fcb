"""The course of a training stage: losses, speeds, what befell it. Of pretrain, finetune, align, and others like them.

Of a long run's rows some are left out while they are read, evenly, so that memory does not grow with its length; the
first ones stay all, where losses fall fastest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..core.errors import Crawl2ChatError
from ..core.manifest import Manifest
from ..model.config import ModelConfig
from ..train import course, events, metrics
from .reading import finite, read_json, read_lines
from .stages import StageFact
from .words import plural

STAGES = ("pretrain", "finetune", "align")
FIRST, MOST = 300, 3000  # rows that all stay, rows in memory
SAMPLES, MOST_SAMPLED = "samples.jsonl", 12  # train/along.py, which loads torch; steps to show
FIGURES = (  # train/watch.py
    "tokens_per_second", "mfu", "data_wait", "checkpoint_stall", "memory_bytes", "seconds_left",
)  # fmt: skip
BESIDE = ("items", "chance")  # of a task's figures: how many items, what guessing gives
_PLAIN = {"step", "loss", "lr", "grad_norm", "tokens_seen", "validation_loss", "bits_per_byte", *FIGURES}

Row = Mapping[str, Any]
Point = tuple[float, float]


@dataclass(frozen=True)
class Mark:
    """Something that happened at a step: start, checkpoint, spike, rewind."""

    step: int
    kind: str
    words: str
    time: float | None = None


@dataclass(frozen=True)
class Training:
    """One stage's. `steps` are those of the recipe, `rows` of logged steps, `checks` of validations."""

    stage: str
    word: str  # how it stands, as report/stages.py says
    steps: int
    rows: Sequence[Row]
    checks: Sequence[Row]
    marks: Sequence[Mark]
    samples: Sequence[Row] = ()  # step, prompt, text
    counters: Mapping[str, float] = field(default_factory=dict)
    seconds: float | None = None
    flops: float | None = None
    model: Mapping[str, Any] = field(default_factory=dict)
    method: str = ""  # of align: dpo, ipo, reward, grpo

    @property
    def step(self) -> int:
        return int(max((row["step"] for row in [*self.rows[-1:], *self.checks[-1:]]), default=0))

    @property
    def before(self) -> float | None:
        """The held-out loss before the first step, where it was measured."""
        return self.start("validation_loss")

    def start(self, name: str) -> float | None:
        """A held-out figure before the first step, where it was measured."""
        first = next(iter(self.checks), {})
        return finite(first.get(name)) if first.get("step") == 0 else None

    def points(self, name: str, rows: Sequence[Row] | None = None) -> list[Point]:
        """(step, value) of the rows that have this quantity."""
        both = ((row["step"], finite(row.get(name))) for row in (self.rows if rows is None else rows))
        return [(float(step), value) for step, value in both if value is not None]

    def last(self, name: str) -> float | None:
        return next((value for _, value in reversed([*self.points(name), *self.points(name, self.checks)])), None)

    @property
    def sources(self) -> list[str]:
        """Those whose bits per byte are measured alone."""
        return sorted({key.partition("/")[2] for row in self.checks for key in row if key.startswith("bits_per_byte/")})

    @property
    def tasks(self) -> dict[str, list[str]]:
        """Tasks that were looked at in training, with their figures: eval/TASK/FIGURE."""
        found: dict[str, list[str]] = {}
        for key in dict.fromkeys(key for row in self.checks for key in row if key.startswith("eval/")):
            _, task, figure = [*key.split("/", 2), ""][:3]
            if figure not in BESIDE:
                found.setdefault(task, []).append(figure)
        return found

    @property
    def others(self) -> list[str]:
        """Quantities that only this kind of training has: margins, accuracies, rewards."""
        known = {key for row in [*self.rows, *self.checks] for key in row if finite(row[key]) is not None}
        return sorted(key for key in known - _PLAIN if "/" not in key)


def read_training(stage: StageFact, default_steps: int, method: str = "") -> Training | None:
    """None for a stage that has logged nothing yet. `default_steps`: of the recipe as it is now."""
    rows, checks = _thinned(read_lines(stage.folder / metrics.FILE_NAME))
    if not rows and not checks:
        return None
    whole = stage.manifest if stage.word == "done" else None
    counters = whole.counters if whole else {}
    return Training(
        stage.name,
        stage.word,
        int(counters.get("steps", default_steps)),
        rows,
        checks,
        _marks(stage.folder),
        _written(stage.folder),
        counters,
        stage.seconds if whole else None,
        _flops(whole),
        whole.facts.get("model", {}) if whole else _model_of(stage.folder),
        method,
    )


def _written(folder: Path) -> list[Row]:
    """What the model wrote on its way: step, prompt, text; of very many steps some, evenly."""
    rows = [row for row in read_lines(folder / SAMPLES) if isinstance(row.get("step"), int)]
    steps = sorted({row["step"] for row in rows})
    shown = {*steps[:: max(1, -(-len(steps) // MOST_SAMPLED))], *steps[-1:]}
    plain = ({"step": row["step"], **{key: str(row.get(key, "")) for key in ("prompt", "text")}} for row in rows)
    return [row for row in plain if row["step"] in shown]


def _thinned(lines: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Rows of logged steps, and of validations."""
    both: tuple[list[Row], list[Row]] = ([], [])
    every, seen = [1, 1], [0, 0]
    newest: list[Row | None] = [None, None]
    for row in lines:
        if not isinstance(row.get("step"), int):
            continue
        kind = 0 if "loss" in row else 1
        rows, newest[kind] = both[kind], row
        seen[kind] += 1
        if seen[kind] <= FIRST or seen[kind] % every[kind] == 0:
            rows.append(row)
        if len(rows) > MOST:
            del rows[FIRST + 1 :: 2]
            every[kind] *= 2
    for rows, last in zip(both, newest, strict=True):
        if last is not None and rows[-1] is not last:
            rows.append(last)
    return both


def _marks(folder: Path) -> list[Mark]:
    """Starts, checkpoints and spikes, by step; without a course.jsonl, of checkpoints only those still there."""
    found: list[Mark] = []
    told = course.read_course(folder)
    for line in told:
        step, time = int(line["step"]), finite(line.get("time"))
        if line.get("what") == "checkpoint":
            found.append(Mark(step, "checkpoint", f"checkpoint of step {step:,}", time))
        elif line.get("what") == "start" and step > 0:
            workers = f" with {plural(line['ranks'], 'worker')}" if isinstance(line.get("ranks"), int) else ""
            found.append(Mark(step, "start", f"went on from the checkpoint of step {step:,}{workers}", time))
    if not told:
        steps = (path.name.removeprefix("step_") for path in (folder / "checkpoints").glob("step_*"))
        found += [Mark(int(one), "checkpoint", f"checkpoint of step {int(one):,}") for one in steps if one.isdigit()]
    for event in read_lines(folder / events.FILE_NAME):
        if isinstance(event.get("step"), int):
            kind = "rewind" if event.get("action") == "rewind" else "spike"
            then = "went back to a checkpoint" if kind == "rewind" else "this update was left out"
            found.append(Mark(event["step"], kind, f"{event.get('reason', 'a spike')}: {then}"))
    order = {"start": 0, "spike": 1, "rewind": 1, "checkpoint": 2}
    unique = {(one.step, one.kind, one.words): one for one in found}
    return sorted(unique.values(), key=lambda one: (one.step, order[one.kind]))


def _model_of(folder: Path) -> Mapping[str, Any]:
    """Of a stage under way: what its newest checkpoint says."""
    metas = sorted((folder / "checkpoints").glob("step_*/meta.json"))
    found = read_json(metas[-1], dict).get("model") if metas else None
    return found if isinstance(found, dict) else {}


def _flops(manifest: Manifest | None) -> float | None:
    """Of all steps, forward and backward, as model/config.py counts them."""
    if manifest is None or "tokens_seen" not in manifest.counters or "model" not in manifest.facts:
        return None
    try:
        return float(
            ModelConfig.from_dict(manifest.facts["model"]).flops_per_token() * manifest.counters["tokens_seen"]
        )
    except (Crawl2ChatError, TypeError, KeyError):
        return None
