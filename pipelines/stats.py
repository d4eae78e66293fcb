"""`crawl2chat data stats`: what each step left of each source and language, from a run's files.

Records that never became a text are known by source and by the step that dropped them. From extraction on, documents
are counted with their language and the bytes of their text: those that a step of extract dropped as the ledger says,
those that were kept as extract wrote them, also before it cut lines and masked; behind extract with the cuts applied.
From the shards on, in tokens; before them, tokens are estimated (stats_tokens.py). Memory: the doc_ids of one unit.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..core.cuts import Span, cut
from ..core.documents import extracted_units, ledger_stages, read_cuts, strings
from ..core.manifest import Manifest
from ..core.run import Run
from ..core.units import Unit, source_of
from .stats_tokens import estimate_tokens

SPLITS = ("train", "validation")
BEFORE = {
    "before language": "language",
    "before filter": "filter",
    "before classifier": "classifier",
}
EXTRACT_STEPS = ("read", "url", "extract", "language", "filter", "classifier")  # of the stage extract, in their order


@dataclass
class Stats:
    """Numbers by source, and by (source, language); a step has documents, and bytes or tokens."""

    steps: list[str]
    records: Counter[str] = field(default_factory=Counter)
    dropped: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))  # by source, of a step
    left: dict[tuple[str, str], dict[str, Counter[str]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(Counter))
    )
    mixture: dict[str, dict[str, float]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    share: float = 1.0  # of the documents' bytes on disk, that was read


def collect(run: Run, most_bytes: int | None = None) -> Stats:
    """Read a run's manifests, ledgers, documents and shards. Stages that are not up to date are left out, and named.

    most_bytes: of documents on disk; of more, units that lie evenly apart are read, and stand for all.
    """
    extract = run.need("extract")
    found = usable(run, extract)
    stages = [name for name in ledger_stages(run.recipe) if name in found]
    shards = found.get("shards")
    inner = [name for name, step in BEFORE.items() if step != "classifier" or run.recipe.classifiers]
    stats = Stats([*inner, "extract", *stages, *(SPLITS if shards else ())])
    stats.notes += [f"{name} is not up to date with the run's files, and not counted" for name in _missing(run, found)]
    units, stats.share = _some(extract, most_bytes)
    for unit in units:
        source = source_of(unit.name)
        _count_ledger(run.stage("extract") / "dropped" / f"{unit.name}.parquet", source, inner, stats)
        ids, langs = _count_unit(unit.name, source, run, stages, stats)
        for split in SPLITS if shards else ():
            path = run.stage("shards") / split / f"{unit.name}.arrow"
            if path.exists():
                _count_tokens(path, split, source, ids, langs, stats)
    for (source, _), steps in stats.left.items():
        for name in inner:
            steps[name].update(steps["extract"])
        stats.records[source] += steps["extract"]["documents"]
    for source, steps in stats.dropped.items():
        stats.records[source] += sum(steps.values())
    if shards:
        stats.mixture = _mixture(run, shards, stats)
    estimate_tokens(stats.left.values(), [*inner, "extract", *stages], SPLITS if shards else ())
    return stats


def as_json(stats: Stats) -> dict[str, Any]:
    """The numbers as plain objects."""
    sources = {
        name: {"records": stats.records[name], "dropped": dict(stats.dropped[name])} for name in sorted(stats.records)
    }
    rows = [
        {"source": source, "lang": lang, "steps": {step: dict(steps[step]) for step in stats.steps}}
        for (source, lang), steps in sorted(stats.left.items())
    ]
    return {"sources": sources, "languages": rows, "mixture": stats.mixture, "notes": stats.notes}


def usable(run: Run, extract: Manifest) -> dict[str, Manifest]:
    """Finished stages behind extract that were made from what their inputs hold now."""
    found = {"extract": extract}
    for name in (*ledger_stages(run.recipe), "tokenizer", "shards"):
        manifest = run.manifest(name)
        if manifest and all(one in found and found[one].digest == mark for one, mark in manifest.inputs.items()):
            found[name] = manifest
    return found


def _some(extract: Manifest, most_bytes: int | None) -> tuple[list[Unit], float]:
    """All units, or every n-th, and their share of the bytes."""
    sizes = {Path(entry.path).stem: entry.bytes for entry in extract.files if entry.path.startswith("documents/")}
    units, whole = extracted_units(extract), sum(sizes.values())
    if most_bytes is None or whole <= most_bytes:
        return units, 1.0
    chosen = units[:: -(-whole // most_bytes)]
    return chosen, sum(sizes[unit.name] for unit in chosen) / whole


def _missing(run: Run, found: dict[str, Manifest]) -> Iterator[str]:
    for name in (*ledger_stages(run.recipe), "shards"):
        if name not in found and run.manifest(name) is not None:
            yield name


def _count_ledger(path: Path, source: str, inner: list[str], stats: Stats) -> None:
    """Count what extract dropped: by step, and with its language at each step from there on that it reached."""
    for batch in pq.ParquetFile(path).iter_batches(columns=["stage", "lang", "bytes_text"]):
        stages = np.array(strings(batch["stage"]), dtype=object)
        stats.dropped[source].update(stages.tolist())
        langs = np.array([lang or "" for lang in batch["lang"].to_pylist()], dtype=object)
        sizes = np.array([size or 0 for size in batch["bytes_text"].to_pylist()], dtype=np.int64)
        for number, name in enumerate(inner):
            reached = np.isin(stages, [BEFORE[later] for later in inner[number:]])
            _add(stats, source, name, langs, reached, sizes)


def _count_unit(unit: str, source: str, run: Run, stages: list[str], stats: Stats) -> tuple[pa.Array, np.ndarray]:
    """Count the unit's documents at every stage. Returns all their doc_ids and languages."""
    ledgers = [pq.read_table(run.stage(name) / "dropped" / f"{unit}.parquet", columns=["doc_id"]) for name in stages]
    gone = [ledger["doc_id"].combine_chunks() for ledger in ledgers]
    cuts = [read_cuts(unit, [run.stage(one) for one in stages[: number + 1]]) for number in range(len(stages))]
    all_ids: list[pa.Array] = []
    all_langs: list[np.ndarray] = []
    with pq.ParquetFile(run.stage("extract") / "documents" / f"{unit}.parquet") as file:
        for batch in file.iter_batches(batch_size=1024, columns=["doc_id", "lang", "text"]):
            langs = np.array(batch["lang"].to_pylist(), dtype=object)
            text = cast(pa.LargeStringArray, batch["text"])
            sizes = pc.binary_length(text).to_numpy(zero_copy_only=False).copy()  # of the UTF-8
            here = np.ones(batch.num_rows, dtype=bool)
            _add(stats, source, "extract", langs, here, sizes)
            for name, lost, spans in zip(stages, gone, cuts, strict=True):
                here &= ~pc.is_in(batch["doc_id"], value_set=lost).to_numpy(zero_copy_only=False)
                _shorten(batch, here, spans, sizes)
                _add(stats, source, name, langs, here, sizes)
            all_ids.append(batch["doc_id"])
            all_langs.append(langs)
    ids = pa.concat_arrays(all_ids) if all_ids else pa.array([], type=pa.string())
    return ids, np.concatenate(all_langs) if all_langs else np.array([], dtype=object)


def _shorten(batch: pa.RecordBatch, here: np.ndarray, cuts: dict[str, list[Span]], sizes: np.ndarray) -> None:
    """The bytes that are left of texts with cuts."""
    if not cuts:
        return
    touched = pc.is_in(batch["doc_id"], value_set=pa.array(list(cuts))).to_numpy(zero_copy_only=False) & here
    rows = np.flatnonzero(touched)
    texts = strings(batch["text"].filter(pa.array(touched)))
    for row, text in zip(rows.tolist(), texts, strict=True):
        sizes[row] = len(cut(text, cuts[batch["doc_id"][row].as_py()]).encode())


def _count_tokens(path: Path, split: str, source: str, ids: pa.Array, langs: np.ndarray, stats: Stats) -> None:
    from ..tokenize.shards import read_shard

    shard = read_shard(path)
    place = pc.index_in(shard.doc_ids, value_set=ids).to_numpy(zero_copy_only=False).astype(np.int64)
    tokens = np.diff(shard.offsets)
    _add(stats, source, split, langs[place], np.ones(len(tokens), dtype=bool), tokens, "tokens")


def _add(
    stats: Stats, source: str, step: str, langs: np.ndarray, here: np.ndarray, sizes: np.ndarray, what: str = "bytes"
) -> None:
    names, group = np.unique(langs[here], return_inverse=True) if here.any() else ([], [])
    for number, lang in enumerate(names):
        mine = sizes[here][group == number]
        stats.left[source, str(lang)][step].update({"documents": len(mine), what: int(mine.sum())})


def _mixture(run: Run, shards: Manifest, stats: Stats) -> dict[str, dict[str, float]]:
    """What share of the training tokens each source has, and how often a pass goes through it."""
    from ..train.mixture import MixedDataset, open_rows

    tokens: Counter[str] = Counter()
    for (source, _), steps in stats.left.items():
        tokens[source] += steps["train"]["tokens"]
    data = open_rows(shards.paths(run.stage("shards"), "train/"), run.recipe.model.context, run.recipe.mixture)
    if not isinstance(data, MixedDataset):
        return {name: {"tokens": n, "epochs": 1.0, "share": n / tokens.total()} for name, n in sorted(tokens.items())}
    rows = {name: len(one) for name, one in zip(data.names, data.sources, strict=True)}
    taken = dict(zip(data.names, data.counts, strict=True))
    return {
        name: {
            "tokens": number,
            "epochs": taken.get(name, 0) / rows.get(name, 1),
            "share": taken.get(name, 0) / data.period,
        }
        for name, number in sorted(tokens.items())
    }
