"""What the workers of the stage `tokenizer` do with a unit: count its text, draw samples. Plain functions over files.

How much of each source is in the sample: `quotas`. Which documents: those with the smallest hashes of their doc_ids.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..core.documents import kept_batches, strings
from ..core.remote_path import path_of
from ..core.units import Unit, UnitReport, source_of
from .bpe import Tokenizer
from .encode import byte_lengths
from .fertility import count
from .sample import FERTILITY, TOKENIZER, places


def count_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """How much text a unit has. config: extract, stages: folders."""
    counters = {"documents": 0, "bytes": 0}
    stages = [path_of(one) for one in config["stages"]]
    for batch in kept_batches(unit.name, path_of(config["extract"]), stages, ["doc_id", "text"]):
        counters["documents"] += batch.num_rows
        counters["bytes"] += int(byte_lengths(batch["text"]).sum())
    return UnitReport(name=unit.name, files=[], counters=counters)


def fertility_unit(unit: Unit, folder: Path, config: dict[str, Any]) -> UnitReport:
    """Counts by language of a sample of a unit's documents. config: extract, stages, cuts; tokenizer: path."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # a worker is a core
    tokenizer = Tokenizer.load(config["tokenizer"])
    counters: Counter[str] = Counter({"documents": 0})
    for columns in sample_of(unit.name, config, FERTILITY):
        counters.update(count(tokenizer, columns["lang"], columns["text"]))
        counters["documents"] += len(columns["text"])
    return UnitReport(name=unit.name, files=[], counters=dict(counters))


def sample_of(unit: str, config: dict[str, Any], purpose: str = TOKENIZER) -> Iterator[dict[str, list[str]]]:
    """Columns lang and text of a unit's sampled documents, batch by batch. config: also cuts, by source: documents
    placed below it for this purpose are in the sample."""
    stages = [path_of(one) for one in config["stages"]]
    for batch in kept_batches(unit, path_of(config["extract"]), stages, ["doc_id", "lang", "text"]):
        inside = places(strings(batch["doc_id"]), purpose) < config["cuts"][source_of(unit)]
        if inside.any():
            chosen = batch.filter(inside)
            yield {"lang": strings(chosen["lang"]), "text": strings(chosen["text"])}


def quotas(sizes: Mapping[str, int], budget: int, balance: float) -> dict[str, float]:
    """Share of each source's text that is in the sample, given the sources' bytes: all where there is no more than the
    budget; else parts of it in proportion to size ** balance, and what a source does not have goes to the others.

    (The exponent is that of sampling languages by temperature: Conneau et al. 2020, section 3.1.)
    """
    wanted = {source: size**balance for source, size in sizes.items() if size}
    shares = dict.fromkeys(sizes, 1.0)
    left = float(budget)
    for source in sorted(wanted, key=lambda one: (sizes[one] / wanted[one], one)):  # those that run out come first
        part = left * wanted[source] / sum(wanted.values())
        shares[source] = min(1.0, part / sizes[source])
        left -= min(part, sizes[source])
        del wanted[source]
    return shares
