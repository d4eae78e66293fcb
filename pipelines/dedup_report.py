"""`crawl2chat dedup report`: what deduplication did, for people.

The S-curve's measured points: pairs that the run compared, signed again with other seeds; a point is how often those of
a similarity meet. The run's own seed would not do, as its pairs are those that met.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from ..core.banding import collision_probability, curve
from ..core.documents import extracted_units, strings, uncut_batches
from ..core.progress import console
from ..core.run import Run
from ..core.settings_data import Dedup
from ..dedup.bands import band_keys
from ..dedup.cluster_sizes import cluster_sizes
from ..dedup.gates import told
from ..dedup.minhash import signatures
from ..dedup.shingles import shingles
from ..dedup.tables import numbers, read_arrow, split_ids

SEEDS = 40
PAIRS = 100
_LINES = 8


def run_report(run: Run, top: int, as_json: bool) -> int:
    """Print the report of a run whose stage dedup is finished."""
    found = report(run, top)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return 0
    print_curve(run.recipe.dedup, found["curve"])
    _print("removed per source", ["source", "documents", "removed", "share"], found["sources"])
    _print("clusters", ["members", "clusters"], found["sizes"])
    if found["quarantined"]:
        _print("quarantined: too large, all stay", ["cluster's best", "members"], found["quarantined"][:top])
    for name in ("largest_cluster", "largest_component"):
        console.print(f"{name.replace('_', ' ')}: {found[name]:,} documents" if found[name] is not None else "")
    console.print(told(found["precision"]), soft_wrap=True)
    for one in found["top"]:
        console.print("\n" + heading(one), markup=False)
        console.print("\n".join(one["diff"]) or "(no difference between lines)", markup=False, soft_wrap=True)
    return 0


def report(run: Run, top: int) -> dict[str, Any]:
    """The report as one object. Read file by file: in memory are some 24 bytes a cluster, and a few texts."""
    manifest, folder = run.need("dedup"), run.stage("dedup")
    paths = manifest.paths(folder, "clusters/")
    halves, members = cluster_sizes(paths)
    sizes, counts = np.unique(members, return_counts=True)
    largest = np.lexsort((halves, -members))[:top]
    shown = _members(paths, halves[largest])
    pairs = _sample(sorted((folder / "pairs").glob("*.arrow")))
    wanted = {f"{row[side]:016x}" for row in pairs for side in ("left", "right")}
    texts = _texts(run, {one for both in shown.values() for one in both}, wanted)
    sources = manifest.facts["sources"].items()
    giants = json.loads((folder / "quarantined.json").read_text(encoding="utf-8"))
    quarantined = {one["best"]: one["members"] for one in giants}
    largest_of = {name: manifest.counters.get(name) for name in ("largest_cluster", "largest_component")}
    return {
        "sizes": [[int(size), int(count)] for size, count in zip(sizes, counts, strict=True)],
        "sources": [[name, one["in"], one["left"], round(one["left"] / max(one["in"], 1), 4)] for name, one in sources],
        "precision": manifest.facts["precision"],
        **largest_of,
        "quarantined": [[best, members] for best, members in quarantined.items()],
        "curve": measure(pairs, texts, run.recipe.dedup),
        "top": [
            {"kept": kept, "other": other, "members": int(members[at]), "quarantined": kept in quarantined}
            | {"diff": _diff(texts, other, kept)}
            for at in largest
            for kept, other in [shown[int(halves[at])]]
        ],
    }


def heading(cluster: dict[str, Any]) -> str:
    """The line above a cluster's example."""
    if cluster["quarantined"]:
        return (
            f"{cluster['members']} members, quarantined: all stay, equal texts excepted; the best is {cluster['kept']}"
            f", against {cluster['other']}:"
        )
    return f"{cluster['members']} members, {cluster['kept']} stays; against {cluster['other']}:"


def _members(paths: Iterable[Path], halves: np.ndarray) -> dict[int, tuple[str, str]]:
    """For some clusters: the doc_id of the one that stays, and the first other member's."""
    found: dict[int, tuple[str, str]] = {}
    for table in map(pq.read_table, paths if len(halves) else ()):
        clusters, ids = strings(table["cluster"]), strings(table["doc_id"])
        for at in np.flatnonzero(np.isin(split_ids(clusters)[0], halves)).tolist():
            if clusters[at] != ids[at]:
                found.setdefault(int(clusters[at][:16], 16), (clusters[at], ids[at]))
    return found


def measure(pairs: list[dict[str, Any]], texts: dict[str, str], settings: Dedup) -> list[dict[str, float]]:
    """Points of the S-curve: similarity, theory, measured share, and its standard error over the seeds."""
    pairs = [p for p in pairs if f"{p['left']:016x}" in texts and f"{p['right']:016x}" in texts]
    names = sorted({f"{pair[side]:016x}" for pair in pairs for side in ("left", "right")})
    number = {name: at for at, name in enumerate(names)}
    flat, offsets = shingles([texts[name] for name in names], settings.ngram, settings.unit)
    bands, rows = settings.banding
    left, right = (np.array([number[f"{p[side]:016x}"] for p in pairs], dtype=np.int64) for side in ("left", "right"))
    met = np.empty((SEEDS, len(pairs)), dtype=bool)
    for at in range(SEEDS if pairs else 0):
        keys = band_keys(signatures(flat, offsets, bands * rows, settings.seed + 1000 + at), bands, rows)
        met[at] = (keys[left] == keys[right]).any(axis=1)
    similarity = np.array([pair["similarity"] for pair in pairs])
    points = []
    for at in np.unique(np.round(similarity, 1)):
        here = np.round(similarity, 1) == at
        shares = met[:, here].mean(axis=1)
        expected = np.mean([collision_probability(one, bands, rows) for one in similarity[here]])
        alone = np.sqrt(expected * (1 - expected) / (SEEDS * here.sum()))  # if the pairs had nothing in common
        error = float(max(shares.std(ddof=1) / np.sqrt(SEEDS), alone))
        mean = {"similarity": float(similarity[here].mean()), "theory": float(expected)}
        points.append({**mean, "measured": float(shares.mean()), "error": error, "pairs": int(here.sum())})
    return points


def print_curve(settings: Dedup, points: Iterable[dict[str, float]] = ()) -> None:
    """The S-curve as bars, and points that were measured."""
    bands, rows = settings.banding
    console.print(f"{bands} bands of {rows} rows, {bands * rows} hashes")
    for similarity, chance in curve(bands, rows):
        console.print(f"  {similarity:.2f}  {chance:7.4f}  {'█' * round(40 * chance)}")
    rows_of = [[f"{p['similarity']:.3f}", f"{p['theory']:.4f}", f"{p['measured']:.4f}", p["pairs"]] for p in points]
    if rows_of:
        _print("pairs that were compared, with other seeds", ["similarity", "theory", "measured", "pairs"], rows_of)


def _print(title: str, names: list[str], rows: Iterable[Iterable[Any]]) -> None:
    table = Table(title=title, title_justify="left")
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*(f"{one:,}" if isinstance(one, int) else str(one) for one in row))
    console.print(table)


def _sample(paths: Iterable[Path]) -> list[dict[str, Any]]:
    """At most PAIRS pairs of each tenth of similarity, so that the curve has points where there are few pairs too."""
    found: dict[float, list[dict[str, Any]]] = {}
    for table in map(read_arrow, paths):
        tenth = np.round(numbers(table["similarity"]), 1)
        for one in np.unique(tenth).tolist():
            some = found.setdefault(one, [])
            rows = np.flatnonzero(tenth == one)[: PAIRS - len(some)]
            some += table.take(rows).to_pylist()
    return [row for some in found.values() for row in some]


def _texts(run: Run, ids: set[str], halves: set[str]) -> dict[str, str]:
    """Texts of documents, by doc_id, and by its first half; not of those that the index knows, perhaps with others."""
    found = {}
    for unit in extracted_units(run.need("extract")):
        left = pq.read_table(run.stage("dedup") / "dropped" / f"{unit.name}.parquet", columns=["doc_id", "reason"])
        known = {row["doc_id"] for row in left.to_pylist() if row["reason"] == "known_document"}
        for batch in uncut_batches(unit.name, run.stage("extract"), [], ["doc_id", "text"]):
            ids_here = strings(batch["doc_id"])
            wanted = ((name in ids or name[:16] in halves) and name not in known for name in ids_here)
            rows = [at for at, one in enumerate(wanted) if one]
            for at, text in zip(rows, strings(batch["text"].take(pa.array(rows, type=pa.int64()))), strict=True):
                found[ids_here[at]] = found[ids_here[at][:16]] = text
    return found


def _diff(texts: dict[str, str], one: str, other: str) -> list[str]:
    """Some lines that two members do not share."""
    if other not in texts:
        return ["(the one that stays is in the index)"]
    kept, left = (texts.get(name, "").splitlines()[:2000] for name in (other, one))
    lines = difflib.unified_diff(kept, left, lineterm="", n=0)
    return [line[:160] for line in lines if line[:2] not in ("--", "++", "@@")][:_LINES]
