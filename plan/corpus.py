"""From the sources' bytes to a corpus: each source gives as much of everything per byte as it did in the profile."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.errors import InputError
from ..core.recipe import Recipe
from .loads import Corpus
from .passes import joined
from .run_profile import Profile
from .source_bytes import SourceBytes

EXTRACT = "extract/extract"
INPUT = "input bytes"
ALIKE = {"common_crawl": "warc", "warc": "common_crawl"}  # what is read the same way


def likeness(profile: Profile, name: str, kind: str) -> tuple[dict[str, float], list[str], bool]:
    """What the profile knows of a source: its quantities, the names of the sources that they are of, and whether these
    are the source itself. Else sources of its kind stand for it, else all together."""
    if name in profile.sources and profile.kinds.get(name) == kind:
        return profile.sources[name], [name], True
    kinds = (kind, ALIKE[kind]) if kind in ALIKE else (kind,)
    same = next((mine for one in kinds if (mine := profile.of_kind(one))), list(profile.sources))
    if not same:
        raise InputError("the profile has no sources", "measure again: crawl2chat plan RECIPE --measure")
    found: dict[str, float] = {}
    for one in same:
        for quantity, value in profile.sources[one].items():
            found[quantity] = found.get(quantity, 0.0) + value
    return found, same, False


def corpus_of(recipe: Recipe, profile: Profile, sources: Mapping[str, SourceBytes]) -> Corpus:
    """The corpus, its units in the order of the recipe's sources."""
    parts, sizes, work = [], [], []
    for source in recipe.sources:
        mine = sources[source.name]
        known, like, _ = likeness(profile, source.name, source.kind)
        parts.append((known, mine.total / max(known[INPUT], 1.0)))
        sizes += mine.sizes
        harder = _harder(profile, like)
        work += [size * harder for size in mine.sizes]
    totals = profile.totals
    documents, candidates = max(totals["documents"], 1.0), max(totals["candidates"], 1.0)
    found = joined(parts, totals["rows"] / documents, totals["edges"] / candidates, float(recipe.tokenizer.train_bytes))
    return Corpus(found, len(sizes), recipe.dedup.partitions, sizes, work)


def _harder(profile: Profile, like: list[str]) -> float:
    """How much longer a byte of these sources takes to extract than one of the whole profile."""
    timed = profile.passes.get(EXTRACT)
    rates = [timed.by_source[name] for name in like if timed is not None and name in timed.by_source]
    return timed.rate * len(rates) / sum(rates) if timed is not None and rates else 1.0
