"""The charts of a training stage: losses with what befell the run, bits per byte, speeds, and what else it measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .annotations import Event
from .lines import HALF, NARROW, SMALL, SMALL_NAMED, WIDE, Chart, Series, draw
from .looks import shown_figures
from .scores import SHARES
from .training import Mark, Training
from .words import number, share, short, size

_COLOURS = {"start": "law", "spike": "proof", "rewind": "proof"}
_SOURCES = ("transfer", "ladder", "law", "proof", "warn", "row1")
_EXACT = ("lr", "memory_bytes")  # without noise
_MOST_EVENTS = 24  # with words of their own in a chart; a list below has more
_HELD_OUT = {"held_out_reward": "reward", "divergence": "kl"}  # GRPO's, by what its batches call the same
_OTHERS = {  # title, unit
    "reward": ("Reward", "mean of answers"),
    "kl": ("Divergence from the reference", "nats a token"),
    "kl_estimate": ("Divergence, estimated", "nats a token of the pairs' answers"),
    "answer_tokens": ("Length of answers", "tokens, mean"),
    "answers_ended_share": ("Answers that end", "share"),
    "groups_of_one_mind": ("Groups of one mind", "share; of these nothing is learned"),
    "margin": ("Margin", "reward of the chosen answer less the other's"),
    "preference_accuracy": ("Pairs told right", "share, by rewards"),
    "ranking_accuracy": ("Chosen answers that are likelier", "share"),
    "chosen_reward": ("Reward of chosen answers", "mean"),
    "rejected_reward": ("Reward of rejected answers", "mean"),
}
_BASELINES = (("baseline_gzip_bpb", "gzip -9"), ("baseline_unigram_bpb", "unigram"))
_SMALL = {  # name in metrics.jsonl: title, unit, how values are written, whether the axis begins at zero
    "tokens_per_second": ("Throughput", "tokens a second", short, True),
    "mfu": ("Model FLOPs utilisation", "MFU, share of the measured peak", lambda v: share(v), True),
    "lr": ("Learning rate", "of this step", number, True),
    "grad_norm": ("Gradient norm", "L2 norm before clipping, log", number, False),
    "data_wait": ("Waiting for data", "share of the time", lambda v: share(v), True),
    "memory_bytes": ("Memory of a rank", "most so far", size, True),
}


@dataclass(frozen=True)
class Drawn:
    """A chart at both widths, with steps even and, where `logs`, by logarithms."""

    title: str
    wide: Markup
    narrow: Markup
    wide_log: Markup | None = None
    narrow_log: Markup | None = None


def first_chart(one: Training, unit: str) -> Drawn:
    """Training and held-out loss, and what befell the run. Of GRPO the reward: its loss says little."""
    rewarded = one.method == "grpo"
    logged = one.points("reward" if rewarded else "loss")
    series = [Series("training", logged, "transfer", dots=len(logged) < 3)]
    if checks := one.points("held_out_reward" if rewarded else "validation_loss", one.checks):
        series.append(Series("held out", checks, "standard", dots=True))
    chart = Chart(
        f"{'Reward' if rewarded else 'Loss'} of {one.stage}",
        "step",
        unit,
        series,
        _events(one.marks),
        x_end=float(one.steps),
        crop=True,
        said=_three,
    )
    logs = len(one.rows) > 2
    return Drawn(
        chart.title,
        draw(chart, WIDE),
        draw(chart, NARROW),
        draw(chart, WIDE, x_log=True) if logs else None,
        draw(chart, NARROW, x_log=True) if logs else None,
    )


def bits_chart(one: Training) -> Drawn | None:
    """Bits per byte of held-out text, of each source too, against what needs no training."""
    all_of_it = one.points("bits_per_byte", one.checks)
    if not all_of_it:
        return None
    series = [Series("all", all_of_it, "standard", dots=True)]
    for at, source in enumerate(one.sources[: len(_SOURCES)]):
        series.append(Series(source, one.points(f"bits_per_byte/{source}", one.checks), _SOURCES[at], dots=True))
    levels = [(float(one.counters[key]), words) for key, words in _BASELINES if key in one.counters]
    chart = Chart(
        "Bits per byte of held-out text",
        "step",
        "bits per byte of UTF-8",
        series,
        levels=levels,
        x_end=float(one.steps),
        crop=True,
        said=_three,
    )
    return Drawn(chart.title, draw(chart, WIDE), draw(chart, NARROW))


def small_charts(one: Training, chances: Mapping[str, float]) -> list[tuple[str, Markup]]:
    """Speed and health, a small chart each: title, SVG. What is not measured is left out. `chances`: what guessing
    gives, by task."""
    found = []
    for key, (title, unit, form, zero) in _SMALL.items():
        points = one.points(key)
        if len(points) > 1 and any(value for _, value in points):
            logs = key == "grad_norm"
            chart = Chart(
                title,
                "step",
                unit,
                [Series("", points, smooth=key not in _EXACT)],
                y_form=form,
                from_zero=zero,
                y_log=logs,
            )
            found.append((title, draw(chart, SMALL)))
    return [*found, *_tasks(one, chances), *_others(one)]


def _tasks(one: Training, chances: Mapping[str, float]) -> list[tuple[str, Markup]]:
    """Tasks that were looked at on the way: a chart each, of its accuracies; of its first figure where it has none."""
    found = []
    for task, figures in one.tasks.items():
        shares = shown_figures(figures)
        series = [
            Series(name.replace("_", " "), one.points(f"eval/{task}/{name}", one.checks), colour, dots=True)
            for name, colour in zip(shares, _SOURCES, strict=False)
        ]
        if any(some.points for some in series):
            share_of = shares[0].startswith(SHARES)
            unit = "accuracy" if share_of else shares[0].replace("_", " ")
            levels = [(chances[task], "chance")] if share_of and task in chances else []
            chart = Chart(f"{task} while training", "step", unit, series, levels=levels)
            found.append((f"{task} on the way", draw(chart, SMALL_NAMED)))
    return found


def _others(one: Training) -> list[tuple[str, Markup]]:
    """What only this kind of training measures, held-out values beside the batches'."""
    found = []
    names = dict.fromkeys(_HELD_OUT.get(key, key.removeprefix("validation_")) for key in one.others)
    for name in [name for name in names if (one.method, name) != ("grpo", "reward")]:  # which has a chart of its own
        keys = [f"validation_{name}", name, *(key for key, same in _HELD_OUT.items() if same == name)]
        held_out = [point for key in keys for point in one.points(key, one.checks)]
        series = [Series("batch", one.points(name)), Series("held out", held_out, "standard", dots=True)]
        if any(len(some.points) > 1 for some in series):
            title, unit = _OTHERS.get(name, (name.replace("_", " ").capitalize(), ""))
            chart = Chart(title, "step", unit, series, said=_few)
            found.append((title, draw(chart, SMALL_NAMED)))
    return found


def curve(title: str, points: Sequence[tuple[float, float]], x_title: str, y_title: str, at: Event) -> Markup:
    """A curve of shares over shares with one place marked: the S-curve of deduplication."""
    chart = Chart(
        title, x_title, y_title, [Series("", list(points))], [at], y_form=lambda v: f"{v:.2g}", said=lambda v: ""
    )
    return draw(chart, HALF)


def _events(marks: Sequence[Mark]) -> list[Event]:
    told = [one for one in marks if one.kind in _COLOURS]
    words = {"start": "went on from {:,}", "spike": "spike", "rewind": "spike, rewound"}
    found = [
        Event(one.step, words[one.kind].format(one.step), _COLOURS[one.kind], title=f"step {one.step:,}: {one.words}")
        for one in told[:_MOST_EVENTS]
    ]
    saved = [one for one in marks if one.kind == "checkpoint"]
    return found + [
        Event(one.step, "", "soft", point=True, title=one.words) for one in saved[:: max(1, len(saved) // 60)]
    ]


def _few(value: float) -> str:
    """Few digits, for a name beside them."""
    return f"{value:.3g}" if abs(value) >= 0.1 else f"{value:.2g}"


def _three(value: float) -> str:
    return f"{value:.3f}" if abs(value) < 100 else number(value)
