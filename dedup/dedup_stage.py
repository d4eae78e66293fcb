"""The stage `dedup`: which documents are copies, exact or near, of others. Copies no text.

    0  known, urls  a shuffle of ids, one of URLs, where the recipe asks for it: who leaves before texts are compared
    1  signatures   unit by unit: exact hash and MinHash bands of each document
    2  edges        a shuffle of (key, document) rows on Ray Data, in which equal keys meet, and those of the index
    3  components   documents that are connected by candidate pairs
    4  sketches     unit by unit: what decides about them; edges and sketches by partitions of components
    5  fates        partition by partition: each pair is verified, and the best of them stays
    6  ledgers      unit by unit: clusters/UNIT.parquet (CLUSTER) and dropped/UNIT.parquet (DROPPED); gates
    7  index        where the recipe asks for it

The result does not depend on units, their order, blocks, partitions or workers. A killed attempt goes on with the pass
it was in: a shuffle from its start, all others unit by unit.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ..core.documents import extracted_units
from ..core.errors import InputError
from ..core.files import at_once, sha256_file
from ..core.log import log
from ..core.manifest import FileEntry
from ..core.recipe import Recipe
from ..core.remote_path import path_of
from ..core.stage import Stage, StageContext, StageResult
from ..core.unit_map import map_units
from ..core.units import Unit, UnitReport, total
from .clusters import groups
from .connected import check_largest, connect
from .decide import decide_part
from .drawn import draw_part, join_drawn
from .edges import edge_rows, meet_edges
from .fates import write_unit
from .gates import check_gates, precision, told
from .index import INDEX_FILE, check_index, grown, parameters, read_index
from .index_build import index_unit, key_rows, list_units, meet_rows, seen_rows
from .index_carry import carry_unit, carry_units, finish
from .known import known_rows, meet_known
from .origins import in_index, same_id
from .shuffle_stage import shuffle
from .signatures import sign_unit
from .sketches import route_edges, sketch_unit
from .tables import only_parts
from .urls import meet_urls, url_rows

ROWS_A_PARTITION = 1 << 22  # of a shuffle: 84 MB
EDGES_A_PARTITION = 1 << 19  # of components: some 100,000 documents with their sketches in memory
_CHANGE_NO_RESULT = {"partitions", "passes", "cluster_nodes"}
_JUDGE_ONLY = {"max_removed", "min_documents", "min_precision", "max_component"}


def _config(recipe: Recipe) -> dict[str, Any]:
    """Without the settings that change no result: an attempt may go on with others."""
    section = recipe.dedup.model_dump(mode="json", exclude=_CHANGE_NO_RESULT | {"gates"})
    section["gates"] = recipe.dedup.gates.model_dump(mode="json", exclude=_JUDGE_ONLY)
    terms = recipe.dedup.order([one.name for one in recipe.classifiers])
    return {"dedup": section, "terms": terms, "sources": [source.name for source in recipe.sources]}


def _external(recipe: Recipe) -> dict[str, str]:
    index = recipe.dedup.index
    return {"dedup.index": sha256_file(path_of(index) / INDEX_FILE)} if index and read_index(path_of(index)) else {}


def _check(ctx: StageContext) -> None:
    dedup = ctx.recipe.dedup
    if dedup.index is not None:
        if path_of(dedup.index).resolve().is_relative_to(ctx.folder.resolve()):
            raise InputError(
                f"dedup.index is {dedup.index}, which this run itself writes anew", "give the index of another run"
            )
        check_index(path_of(dedup.index), dedup, _config(ctx.recipe)["terms"])


class _Passes:
    """One attempt at the stage: what its passes share."""

    def __init__(self, ctx: StageContext) -> None:
        self.ctx, self.folder, self.settings = ctx, ctx.folder.absolute(), ctx.recipe.dedup
        self.extract = ctx.input_folder("extract")
        self.units = extracted_units(ctx.inputs["extract"])
        self.names = [unit.name for unit in self.units]
        self.index = self.settings.index
        self.before = read_index(path_of(self.index)) if self.index else {"documents": 0, "partitions": 2, "runs": 0}
        passes = {"known": bool(self.index) and self.settings.known == "drop", "urls": self.settings.url}
        self.gone = [str(self.folder / name) for name, asked in passes.items() if asked]
        self.config = _config(ctx.recipe) | {"extract": str(self.extract), "gone": self.gone, "index": self.index}
        documents = sum(e.rows for e in ctx.inputs["extract"].files if e.path.startswith("documents/"))
        rows = (documents // self.settings.passes + self.before["documents"]) * (self.settings.banding[0] + 2)
        needed = -(-rows // ROWS_A_PARTITION)
        automatic = grown(self.before["partitions"], needed) if self.index else max(2, needed)
        self.partitions: int = self.settings.partitions or automatic
        # names of edges' files say nothing of what is in them: an attempt that goes on with others must not mix them
        self.layout = {"layout": {"partitions": self.partitions, "passes": self.settings.passes}}
        self.parts: list[Unit] = []  # of fates, once they are known

    def map(
        self, work: Callable[..., UnitReport], units: Sequence[Unit], config: dict[str, Any], records: str
    ) -> list[UnitReport]:
        return map_units(work, units, self.folder, config, self.ctx.progress, records=records)

    def map_edges(
        self, work: Callable[..., UnitReport], units: Sequence[Unit], config: dict[str, Any], records: str
    ) -> list[UnitReport]:
        """The same for units that are made of edges, of which each layout has others in each file."""
        return self.map(work, units, config | self.layout, records)

    def shuffle(self, into: str, rows: Callable[..., Any], meet: Callable[..., Any]) -> list[dict[str, Any]]:
        folder, progress = self.folder / into, self.ctx.progress
        rows, meet = partial(rows, partitions=self.partitions), partial(meet, folder=folder)
        return shuffle(self.units, self.partitions, rows, meet, folder, progress)

    def leave_early(self) -> None:
        """Pass 0."""
        for at, folder in enumerate(self.gone):
            if path_of(folder).name == "known":
                meet = partial(meet_known, index=self.index)
                self.shuffle("known", partial(known_rows, extract=self.extract), meet)
            else:
                rows = partial(url_rows, extract=self.extract, gone=self.gone[:at])
                self.shuffle("urls", rows, partial(meet_urls, index=self.index))

    def edges(self) -> list[str]:
        """Pass 2: names of all files of edges."""
        files = [f"signatures/stars/{name}.arrow" for name in self.names]
        count = self.settings.passes
        for part in range(count):
            into = f"edges/{part + 1}-of-{count}"
            rows = partial(edge_rows, folder=self.folder, gone=self.gone, part=part, passes=count)
            reports = self.shuffle(into, rows, partial(meet_edges, index=self.index))
            if doubled := [doc for report in reports for doc in report["twice"]]:
                raise same_id(min(doubled), self.units, self.extract)
            if (known := [doc for report in reports for doc in report["known"]]) and self.settings.known == "refuse":
                raise in_index(min(known), self.units, self.extract, path_of(self.index or ""))
            files += [f"{into}/part-{report['partition']:05d}.arrow" for report in reports]
        return files

    def components(self, files: list[str]) -> int:
        """Pass 3: how many documents the largest component has."""
        largest = connect(files, self.folder, self.settings.cluster_nodes, self.map_edges)
        check_largest(largest, files, self.settings, self.map_edges)
        return largest

    def fates(self, files: list[str]) -> dict[str, int]:
        """Passes 4 and 5: their counters."""
        edges = sum(at_once(lambda name: (self.folder / name).stat().st_size, files)) // 24
        parts = max(1, -(-edges // EDGES_A_PARTITION))
        routed = groups(0, files)
        config = self.config | {"partitions": parts, "units": self.names, "groups": [unit.name for unit in routed]}
        self.map_edges(route_edges, routed, {"partitions": parts}, "routed/units")
        self.map(sketch_unit, self.units, self.config | {"partitions": parts}, "sketches/units")
        units = [Unit(name=f"part-{number:05d}") for number in range(parts)]
        for name in ("fates", "pairs"):
            only_parts(self.folder / name, units)
        reports = self.map(decide_part, units, config, "fates/units")
        self.parts = units
        return total(reports) | {"largest_cluster": max(one.counters["largest_cluster"] for one in reports)}

    def ledgers(self) -> tuple[list[UnitReport], FileEntry, dict[str, int]]:
        """Pass 6: what was written of the units, the list of giant clusters, and what the samples were drawn from."""
        sample = self.settings.gates.sample
        drawn = self.map(draw_part, self.parts, {"sample": sample}, "samples/drawn/units")
        giants = join_drawn(self.parts, self.folder, sample)
        pairs = self.sampled()
        config = self.config | {"sample": sorted({doc for pair in pairs for doc in pair})}
        return self.map(write_unit, self.units, config, "units"), giants, total(drawn)

    def sampled(self) -> list[list[int]]:
        """The removed pairs whose texts are compared."""
        return json.loads((self.folder / "sample.json").read_text(encoding="utf-8"))

    def build_index(self) -> list[FileEntry]:
        """Pass 7: the files of the index."""
        runs = self.before["runs"]
        entries = [list_units(self.folder, runs, self.names)]
        reports = self.map(index_unit, self.units, self.config | {"run": runs}, "index-units")
        extract = self.extract if self.settings.url else None
        seen = partial(seen_rows, extract=extract, run=runs, units=self.names)
        written: dict[str, set[int]] = {}
        for name, rows in (("keys", key_rows), ("seen", seen)):
            meet = partial(meet_rows, name=name, partitions=self.partitions, old=self.index)
            met = self.shuffle(f"index/{name}", partial(rows, folder=self.folder, gone=self.gone), meet)
            written[name] = {report["partition"] for report in met}
            entries += [FileEntry.model_validate(report["file"]) for report in met]
        left = carry_units(path_of(self.index) if self.index else None, self.partitions, written)
        carried = self.map(carry_unit, left, {"index": self.index, "partitions": self.partitions}, "index-carried")
        entries += [entry for report in [*reports, *carried] for entry in report.files]
        made = {
            "parameters": parameters(self.settings, self.config["terms"]),
            "partitions": self.partitions,
            "documents": self.before["documents"] + sum(report.counters["documents"] for report in reports),
            "runs": runs + 1,
        }
        return finish(self.folder, made, entries)


def _work(ctx: StageContext) -> StageResult:
    passes = _Passes(ctx)
    passes.leave_early()
    passes.map(sign_unit, passes.units, passes.config, "signatures/units")
    files = passes.edges()
    largest = passes.components(files)
    decided = passes.fates(files)
    reports, giants, drawn = passes.ledgers()
    counted = total(reports)
    sources: dict[str, dict[str, int]] = {}
    for key in [key for key in counted if ":" in key]:
        what, _, source = key.partition(":")
        sources.setdefault(source, {"in": 0, "left": 0})[what] = counted.pop(key)
    texts = [ctx.folder / "samples" / f"{name}.arrow" for name in passes.names]
    measured = precision(passes.sampled(), texts, passes.settings)
    measured |= {name: drawn[name] for name in ("removed", "comparable")}
    log.info("dedup: %s", told(measured))
    check_gates(sources, measured, passes.settings, ctx.folder)
    entries = [giants, *(entry for report in reports for entry in report.files)]
    entries += passes.build_index() if passes.settings.write_index else []
    bands, rows = passes.settings.banding
    facts = {"bands": bands, "rows": rows, "sources": sources, "precision": measured}
    found = {"giant_clusters": drawn["giant_clusters"], "largest_component": largest}
    log.info("dedup: largest cluster: %s documents", f"{decided['largest_cluster']:,}")
    return StageResult(entries, {**counted, **decided, **found}, facts)


DEDUP = Stage("dedup", ("extract",), _config, _work, version=5, external=_external, check=_check)
