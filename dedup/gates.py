"""The gates of deduplication: what must not happen unseen. One that trips stops the stage with the evidence.

samples/UNIT.arrow, sample.json  ->  precision: the share of removed pairs whose texts are as similar as the
                                     threshold says, compared by their runs of words themselves, without any hash
fates/*                          ->  quarantined.json: the clusters that were too large, ten members of each
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ..core.errors import StageError
from ..core.files import write_json
from ..core.manifest import file_entry
from ..core.settings_data import Dedup
from ..core.units import Unit, UnitReport
from .hashing import mix
from .shingles import SINGLE, folding_table
from .tables import FATE, MINHASH_DUPLICATE, QUARANTINED, join_ids, numbers, read_arrow

_Z = 1.96  # of a 95 % interval
_SHOWN = 10
_SALT = np.uint64(0xA3EC4E93B5E1F3C7)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); the whole range where nothing was counted."""
    if not count:
        return 0.0, 1.0
    share, square = hits / count, _Z * _Z / count
    middle = share + square / 2
    spread = _Z * np.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, float((middle - spread) / (1 + square))), min(1.0, float((middle + spread) / (1 + square)))


def draw_sample(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Worker: sample.json, the removed pairs to compare; quarantined.json. config: sample, their number."""
    paths = sorted((folder / "fates").glob("part-*.arrow"))
    chosen = [FATE.empty_table()]
    giants: dict[str, dict[str, Any]] = {}
    for path in paths:
        table = read_arrow(path)
        reason = numbers(table["reason"])
        removed = np.flatnonzero(reason == MINHASH_DUPLICATE)
        drawn = np.argsort(mix(numbers(table["doc"])[removed] ^ _SALT), kind="stable")[: config["sample"]]
        chosen.append(table.take(removed[drawn]))
        for row in table.filter(pa.array(reason == QUARANTINED)).to_batches(max_chunksize=1 << 16):
            _count(giants, row)
    pairs = pa.concat_tables(chosen)
    pairs = pairs.take(np.argsort(mix(numbers(pairs["doc"]) ^ _SALT), kind="stable")[: config["sample"]])
    write_json(folder / "sample.json", [[row["doc"], row["survivor"]] for row in pairs.to_pylist()])
    listed = sorted(giants.values(), key=lambda one: (-one["members"], one["best"]))
    write_json(folder / "quarantined.json", listed)
    entry = file_entry(folder, folder / "quarantined.json", len(listed))
    return UnitReport(name=unit.name, files=[entry], counters={"giant_clusters": len(listed)})


def _count(giants: dict[str, dict[str, Any]], rows: pa.RecordBatch) -> None:
    best = join_ids(np.asarray(rows["survivor"]), np.asarray(rows["survivor_low"]))
    for name, doc in zip(best, rows["doc"].to_pylist(), strict=True):
        one = giants.setdefault(name, {"best": name, "members": 0, "first_halves_of_doc_ids": []})
        one["members"] += 1
        if len(one["first_halves_of_doc_ids"]) < _SHOWN:
            one["first_halves_of_doc_ids"].append(f"{doc:016x}")


def precision(pairs: list[list[int]], files: Iterable[Path], settings: Dedup) -> dict[str, Any]:
    """How many of the sampled pairs are similar, with the interval; pairs without both texts are not counted."""
    texts = {row["doc"]: row["text"] for path in files for row in read_arrow(path).to_pylist()}
    unlike = []
    count = 0
    for doc, survivor in pairs:
        if doc in texts and survivor in texts:
            count += 1
            similarity = plain_jaccard(texts[doc], texts[survivor], settings)
            if similarity < settings.threshold:
                unlike.append([f"{doc:016x}", f"{survivor:016x}", round(similarity, 4)])
    low, high = wilson(count - len(unlike), count)
    return {"pairs": count, "similar": count - len(unlike), "low": low, "high": high, "unlike": unlike[:_SHOWN]}


def plain_jaccard(one: str, other: str, settings: Dedup) -> float:
    """Similarity of two texts by their runs of words or characters themselves."""
    left, right = plain_shingles(one, settings), plain_shingles(other, settings)
    return len(left & right) / len(left | right) if left | right else 0.0


def plain_shingles(text: str, settings: Dedup) -> set[tuple[str, ...]]:
    """The runs as tuples of strings, by the rules of shingles.py."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
    folded = folding_table()[points]
    alone = (folded >= SINGLE) | (settings.unit == "character")
    spaced = np.zeros((len(folded), 3), dtype="<u4") + np.uint32(32)
    spaced[:, 1] = np.where(folded, folded & ~SINGLE, 32)
    shown = np.repeat(alone[:, None], 3, axis=1)
    shown[:, 1] = True
    words = spaced[shown].tobytes().decode("utf-32-le", "surrogatepass").split(" ")
    words = [word for word in words if word]
    return {tuple(words[at : at + settings.ngram]) for at in range(len(words) - settings.ngram + 1)}


def check_gates(sources: dict[str, dict[str, int]], measured: dict[str, Any], settings: Dedup) -> None:
    """Raise StageError when a gate trips: sources {name: {in, left}}, measured as `precision` gives it."""
    gates = settings.gates
    for name, counted in sorted(sources.items()):
        share = counted["left"] / max(counted["in"], 1)
        if counted["in"] >= gates.min_documents and share > gates.max_removed:
            raise StageError(
                f"deduplication removes {counted['left']:,} of {counted['in']:,} documents of source {name}, "
                f"{share:.1%}: more than dedup.gates.max_removed={gates.max_removed}; dropped/ says which and for whom",
                f"see if these are copies; if so, the same command with --set dedup.gates.max_removed={_above(share)}",
            )
    if measured["pairs"] and measured["high"] < gates.min_precision:
        examples = "; ".join(f"{one} and {other} {similarity}" for one, other, similarity in measured["unlike"][:3])
        raise StageError(
            f"of {measured['pairs']} removed pairs {measured['similar']} have a similarity of {settings.threshold}: a "
            f"precision of {measured['low']:.2f} to {measured['high']:.2f}, below dedup.gates.min_precision="
            f"{gates.min_precision}; for example {examples}",
            "verify pairs (dedup.verify=jaccard), or --set dedup.gates.min_precision=0",
        )


def _above(share: float) -> float:
    """A limit that lets the share pass, in two digits."""
    return min(1.0, round(share + 0.01, 2))
