"""`crawl2chat data sweep`: what each threshold of a filter would keep, counted from the stored scores.

Of each value of a threshold: how many of the documents that reached the filters its rule alone would keep, and how
many it and all other rules as the recipe has them. Scores are read in batches: memory holds one, and samples.

What scores cannot tell: settings that are no thresholds (C4's line rules, `short_line_length`) change texts or
measures, and C4's line rules decide what FineWeb's measures are taken from. Those need a run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow.parquet as pq
from rich import box
from rich.table import Table

from ...core.errors import InputError
from ...core.progress import console
from ...core.remote_path import path_of
from ...core.run import Run
from ...core.settings_filters import Filters
from .rules import Rule, custom_rules, rules_of

BATCH_ROWS = 1 << 16
SAMPLE_ROWS = 1 << 18  # of each measure, for quantiles
QUANTILES = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)


@dataclass(frozen=True, slots=True)
class Point:
    """One value of a threshold, and the documents that are left."""

    value: float
    alone: int
    with_others: int
    recipe: bool  # the value that the recipe has


@dataclass(frozen=True, slots=True)
class Sweep:
    """All values of one threshold."""

    key: str
    measures: list[str]
    below: bool
    documents: int
    points: list[Point]


def run_sweep(run: Run, wanted: Sequence[str], values: Sequence[float], as_json: bool) -> int:
    """Print the sweeps of the rules that are wanted, as tables or as one JSON object."""
    sweeps = sweep(run, wanted, values)
    if as_json:
        print(json.dumps({one.key: _plain(one) for one in sweeps}))
        return 0
    for one in sweeps:
        console.print(_table(one))
    console.print(
        "  alone: by this rule; with others: by all rules, the others as in the recipe. FineWeb measures the text that "
        "C4's line rules leave.",
        soft_wrap=True,
    )
    return 0


def sweep(run: Run, wanted: Sequence[str], values: Sequence[float]) -> list[Sweep]:
    """Count for each wanted rule (`all`, a section, or a whole key) what each value keeps; no values: quantiles."""
    manifest = run.need("extract")
    settings = Filters.model_validate(manifest.config["filters"])
    files = [str(path) for path in manifest.paths(run.stage("extract"), "scores/")]
    if not files:
        raise InputError(
            f"{run.folder} has no scores: it was made with filters.scores: false",
            f"crawl2chat data --run {run.folder} --set filters.scores=true",
        )
    rules = [*rules_of(settings), *custom_rules(settings)]
    groups = {key: [rule for rule in rules if rule.key == key] for key in _chosen(rules, wanted)}
    limits = {key: _limits(group, files, values) for key, group in groups.items()}
    documents = 0
    alone = {key: np.zeros(len(tried), dtype=np.int64) for key, tried in limits.items()}
    joint = {key: np.zeros(len(tried), dtype=np.int64) for key, tried in limits.items()}
    for batch in _batches(files, sorted({rule.measure for rule in rules})):
        broken = {rule: rule.breaks(batch[rule.measure]) for rule in rules}
        count = np.sum(list(broken.values()), axis=0)
        documents += len(count)
        for key, group in groups.items():
            others = count == np.sum([broken[rule] for rule in group], axis=0)
            for place, limit in enumerate(limits[key]):
                kept = ~np.any([rule._replace(threshold=limit).breaks(batch[rule.measure]) for rule in group], axis=0)
                alone[key][place] += np.count_nonzero(kept)
                joint[key][place] += np.count_nonzero(kept & others)
    return [
        Sweep(
            key,
            [rule.measure for rule in group],
            group[0].below,
            documents,
            [
                Point(limit, int(alone[key][place]), int(joint[key][place]), limit == group[0].threshold)
                for place, limit in enumerate(limits[key])
            ],
        )
        for key, group in groups.items()
    ]


def _chosen(rules: Sequence[Rule], wanted: Sequence[str]) -> list[str]:
    """The keys of rules with a threshold that are wanted, in the order of the rules."""
    known = list(dict.fromkeys(rule.key for rule in rules if rule.counted))
    if not known:
        raise InputError(
            "the run's recipe has no filter with a threshold", "switch one on below `filters`: docs/filters.md"
        )
    for one in wanted:
        if one != "all" and not any(_meant(one, key) for key in known):
            raise InputError(
                f"--rule {one} is no threshold that is switched on in the recipe", f"name one of: {', '.join(known)}"
            )
    return [key for key in known if any(one == "all" or _meant(one, key) for one in wanted)]


def _meant(wanted: str, key: str) -> bool:
    wanted = wanted.removeprefix("filters.")
    return key == wanted or key.startswith(f"{wanted}.")


def _limits(group: Sequence[Rule], files: Sequence[str], values: Sequence[float]) -> list[float]:
    """The values to try, sorted: those that were given, or quantiles of what was measured; and the recipe's."""
    tried = list(values) or [float(one) for rule in group for one in _quantiles(files, rule.measure)]
    return sorted({*tried, group[0].threshold})


def _quantiles(files: Sequence[str], measure: str) -> np.ndarray:
    """Quantiles over all documents, or over every second, fourth, … one if there are very many."""
    sample, step = np.zeros(0, dtype=np.float32), 1
    for batch in _batches(files, [measure]):
        sample = np.concatenate([sample, batch[measure][::step]])
        while len(sample) > SAMPLE_ROWS:
            sample, step = sample[::2], 2 * step
    if not len(sample):
        return sample
    return np.array([float(f"{one:.3g}") for one in np.quantile(sample, QUANTILES)])


def _batches(files: Sequence[str], measures: Sequence[str]) -> Iterator[dict[str, np.ndarray]]:
    for path in files:
        with pq.ParquetFile(path_of(path)) as file:
            for batch in file.iter_batches(BATCH_ROWS, columns=list(measures)):
                yield {name: batch[name].to_numpy() for name in measures}


def _table(one: Sweep) -> Table:
    head = f"{one.key}: drops {' or '.join(one.measures)} {'below' if one.below else 'above'} the value"
    table = Table(title=head, title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("value", "kept alone", "", "kept with others", ""):
        table.add_column(name, justify="right", no_wrap=True)
    for point in one.points:
        shares = [f"{100 * kept / max(1, one.documents):.1f} %" for kept in (point.alone, point.with_others)]
        value = f"{point.value:g}{' (recipe)' if point.recipe else ''}"
        table.add_row(value, f"{point.alone:,}", shares[0], f"{point.with_others:,}", shares[1])
    return table


def _plain(one: Sweep) -> dict[str, object]:
    points = [
        {"value": x.value, "kept_alone": x.alone, "kept_with_others": x.with_others, "recipe": x.recipe}
        for x in one.points
    ]
    return {"measures": one.measures, "below": one.below, "documents": one.documents, "values": points}
