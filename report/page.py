"""The facts of a run as one HTML page that asks for nothing outside itself.

Everything that comes from a run is escaped, and the page's policy lets no script run but its own, known by its hash.
Without a script all of it can be read; the script only tells values under the pointer.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from .. import __version__
from ..core.files import write_text
from ..tune.colours import COLOURS
from . import words
from .annotations import Event
from .columns import columns, interval
from .curves import bits_chart, curve, first_chart, small_charts
from .duplicates import Duplicates
from .facts import Facts
from .looks import chances_on_the_way, looks
from .scores import chances
from .shares import language, languages, sources
from .tiles import status, tiles
from .training import Training

HERE = Path(__file__).parent
REFRESH_S = 30  # of the page of a run under way
TITLES = {  # by stage, of align by method
    "pretrain": "Pretraining", "finetune": "Fine-tuning", "align": "Alignment", "dpo": "Preferences (DPO)",
    "ipo": "Preferences (IPO)", "reward": "Reward model", "grpo": "Rewards (GRPO)",
}  # fmt: skip
_UNITS = {
    "pretrain": "loss, nats a token", "finetune": "loss of answers, nats a token", "dpo": "loss, nats a pair",
    "ipo": "loss, squares of a pair's margin", "reward": "loss, nats a pair", "grpo": "reward, mean of answers",
}  # fmt: skip
_ROWS = 40  # of a table beside a chart
_MOST_COUNTERS = 10  # beside those that are known
_KNOWN = {  # counters that have a place of their own, or none
    "steps", "parameters", "tokens_seen", "spikes", "train_loss", "tokens_per_second", "validation_loss",
    "validation_loss_before", "bits_per_byte", "examples", "examples_cut", "examples_split",
    "examples_dropped",
}  # fmt: skip


def write_page(facts: Facts, path: Path) -> Path:
    """Write the page atomically, and return its path."""
    write_text(path, page(facts))
    return path


def page(facts: Facts) -> str:
    """The HTML."""
    script = (HERE / "report.js").read_text(encoding="utf-8")
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        name: getattr(words, name)
        for name in ("count", "short", "share", "number", "size", "duration", "moment", "money", "plural")
    }
    environment.filters |= {
        "language": language,
        "interval": lambda one: interval(one.value, one.low, one.high, one.chance),
    }
    return environment.get_template("report.html").render(
        facts=facts,
        version=__version__,
        now=time.time(),
        refresh=REFRESH_S if facts.state.state == "running" else None,
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        style=Markup((HERE / "report.css").read_text(encoding="utf-8")),
        light={name: light for name, (light, _) in COLOURS.items()},
        dark={name: dark for name, (_, dark) in COLOURS.items()},
        status=status(facts),
        tiles=tiles(facts),
        duplicates=facts.duplicates and _duplicates(facts.duplicates),
        sources=sources(facts.flow, facts.amounts) if facts.flow else [],
        languages=languages(facts.amounts),
        lengths=columns("Tokens by their length", "bytes", "tokens", facts.tokens.lengths, 400)
        if facts.tokens
        else None,
        trainings=[_training(one, chances(facts.scores)) for one in facts.trainings],
    )


def _duplicates(found: Duplicates) -> dict[str, Any]:
    mark = Event(found.threshold, f"threshold {found.threshold:g}", "proof")
    return {
        "sizes": columns("Clusters of duplicates by size", "members of a cluster", "clusters", found.sizes, 400)
        if found.sizes
        else None,
        "curve": curve(
            "Which pairs are found",
            found.curve,
            "Jaccard similarity of a pair",
            "probability that it is compared",
            mark,
        )
        if found.curve
        else None,
    }


def _training(one: Training, guessed: Mapping[str, float]) -> dict[str, Any]:
    """A stage's section: charts, and the same in numbers."""
    guessed = {**guessed, **chances_on_the_way(one)}
    along: dict[str, list[Any]] = {}
    for row in one.samples:
        along.setdefault(str(row.get("prompt", "")), []).append(row)
    return {
        "fact": one,
        "title": TITLES.get(one.method or one.stage, one.stage.capitalize()),
        "about": tiles_of(one),
        "first": first_chart(one, _UNITS.get(one.method or one.stage, "loss")),
        "bits": bits_chart(one) if one.stage == "pretrain" else None,
        "small": small_charts(one, guessed),
        "looks": looks(one, guessed),
        "events": [mark for mark in one.marks if mark.kind != "checkpoint"],
        "checkpoints": sum(mark.kind == "checkpoint" for mark in one.marks),
        "table": _table(one),
        "samples": along,
    }


def tiles_of(one: Training) -> list[tuple[str, str]]:
    """What a stage came to, in pairs of words and numbers."""
    found: list[tuple[str, str]] = [
        ("steps", f"{one.step:,} of {one.steps:,}" if one.step < one.steps else f"{one.step:,}")
    ]
    if parameters := one.counters.get("parameters"):
        found.append(("parameters", words.count(parameters)))
    if tokens := one.last("tokens_seen"):
        found.append(("answer tokens" if one.stage == "finetune" else "tokens", words.count(tokens)))
    if (loss := one.last("validation_loss")) is not None:
        before = f", {one.before:.3f} before" if one.before is not None else ""
        found.append(("held-out loss", f"{loss:.3f}{before}"))
    if examples := one.counters.get("examples"):
        cut, gone = (one.counters.get(f"examples_{what}", 0) for what in ("cut", "dropped"))
        found.append(
            ("examples", f"{examples:,}" + (f", {cut:,} cut" if cut else "") + (f", {gone:,} dropped" if gone else ""))
        )
    known = [key for key in one.counters if key not in _KNOWN and not key.startswith(("rejected.", "baseline_"))]
    for key in [key for key in known if key.removesuffix("_before") == key or key.removesuffix("_before") not in known][
        :_MOST_COUNTERS
    ]:
        before = one.counters.get(f"{key}_before")
        said = "" if before is None else f", {words.number(before)} before"
        found.append((key.replace("_", " "), f"{words.number(one.counters[key])}{said}"))
    if (rate := one.counters.get("tokens_per_second")) is not None:
        found.append(("tokens a second", words.count(rate)))
    if one.seconds is not None:
        found.append(("time", words.duration(one.seconds)))
    elif left := one.last("seconds_left"):
        found.append(("time left", words.duration(left)))
    return found


def _table(one: Training) -> dict[str, Any]:
    """Some rows of the metrics, the last among them."""
    rows = [*one.rows, *one.checks]
    known = ("loss", "validation_loss", "bits_per_byte", "lr", "grad_norm", "tokens_per_second", "mfu")
    keys = [key for key in known if any(key in row for row in rows)]
    merged: dict[int, dict[str, Any]] = {}
    for row in rows:
        merged.setdefault(row["step"], {}).update(row)
    steps = sorted(merged)
    every = max(1, -(-len(steps) // _ROWS))
    chosen = sorted(
        {*steps[::every], *steps[-1:], *(row["step"] for row in one.checks[:: max(1, len(one.checks) // 20)])}
    )
    form = {"mfu": words.share, "tokens_per_second": words.count}
    cells = [[f"{step:,}", *(_cell(merged[step].get(key), form.get(key)) for key in keys)] for step in chosen]
    return {"columns": ["step", *(key.replace("_", " ") for key in keys)], "rows": cells}


def _cell(value: Any, form: Any) -> str:
    if not isinstance(value, int | float):
        return "" if value is None else str(value)
    return (form or words.number)(value)
