"""The gates of deduplication: what must not happen unseen. One that trips stops the stage with the evidence.

samples/UNIT.arrow, sample.json  ->  precision: the share of removed pairs whose texts are as similar as the
                                     threshold says, compared by their runs of words themselves, without any hash
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import StageError
from ..core.files import at_once
from ..core.settings_data import Dedup
from .shingles import SINGLE, folding_table
from .tables import read_arrow

_Z = 1.96  # of a 95 % interval
_SHOWN = 10


def wilson(hits: int, count: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); the whole range where nothing was counted."""
    if not count:
        return 0.0, 1.0
    share, square = hits / count, _Z * _Z / count
    middle = share + square / 2
    spread = _Z * np.sqrt(share * (1 - share) / count + square / (4 * count))
    return max(0.0, float((middle - spread) / (1 + square))), min(1.0, float((middle + spread) / (1 + square)))


def precision(pairs: list[list[int]], files: Iterable[Path], settings: Dedup) -> dict[str, Any]:
    """How many of the sampled pairs are similar, with the interval; pairs without both texts are not counted."""
    sampled = at_once(lambda path: read_arrow(path).to_pylist(), list(files))
    texts = {row["doc"]: row["text"] for rows in sampled for row in rows}
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


def told(measured: dict[str, Any]) -> str:
    """The measured precision in a line, with how many of the removed pairs it is about."""
    said = f"precision: {measured['similar']} of {measured['pairs']} compared pairs are similar"
    if "removed" not in measured:  # a run of an earlier version
        return said
    skipped = measured["removed"] - measured["comparable"]
    about = f"{measured['comparable']:,} of {measured['removed']:,} removed near copies can be compared"
    return f"{said}; {about}" + (f", {skipped:,} left for documents of an index, which has no texts" if skipped else "")


def check_gates(
    sources: dict[str, dict[str, int]], measured: dict[str, Any], settings: Dedup, folder: Path = Path()
) -> None:
    """Raise StageError when a gate trips: sources {name: {in, left}}, measured as `precision` gives it.

    folder: where the ledgers stand that show why.
    """
    gates = settings.gates
    for name, counted in sorted(sources.items()):
        known = counted.get("known", 0)  # which the user asked to drop
        left, came = counted["left"] - known, counted["in"] - known
        share = left / max(came, 1)
        if came >= gates.min_documents and share > gates.max_removed:
            raise StageError(
                f"deduplication removes {left:,} of {came:,} documents of source {name}, "
                f"{share:.1%}: more than dedup.gates.max_removed={gates.max_removed}; "
                f"{folder / 'dropped'} says which and for whom",
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


def check_component(largest: int, shared: Callable[[], int], settings: Dedup) -> None:
    """Raise StageError when a component is too large for one worker, before it is read.

    shared: how many documents have one key in one file of edges, found only when the gate trips.
    """
    limit = settings.gates.max_component
    if largest <= limit:
        return
    bands, rows = settings.banding
    raise StageError(
        f"{largest:,} documents are connected by candidate pairs, and one worker would decide them all: more than "
        f"dedup.gates.max_component={limit}; {shared():,} or more of the documents share one key of {bands} bands of "
        f"{rows} rows or one text",
        "give more rows a band (dedup.bands and dedup.rows; dedup.max_hashes) or a higher dedup.threshold; or, where "
        f"a worker has memory for so many sketches, --set dedup.gates.max_component={largest}",
    )


def _above(share: float) -> float:
    """A limit that lets the share pass, in two digits."""
    return min(1.0, round(share + 0.01, 2))
