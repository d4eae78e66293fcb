"""Building the index of evaluation sets (decontaminate_index.py).

Runs have `ngram` words; a shorter text that speaks for its item (see decontaminate_layouts.py) and has at least
`min_words` is one run. Runs that more than MAX_ITEMS items share are phrases of the set, no mark of an item, and left
out; the share of an item that a document holds is counted over the characters that the other runs cover.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from ..core.files import atomic_path
from ..core.settings_cleaning import Decontaminate
from ..dedup.tables import write_arrow
from .decontaminate_index import ENTRY, ITEM, NAMES, filter_bits
from .decontaminate_layouts import WHOLE_LAYOUTS, Layout, layouts, whole, words_in_items
from .decontaminate_sets import Item, read_items
from .decontaminate_words import PLAIN, SPELLINGS, grams, words_of

MAX_ITEMS = 10
INNER_MARK = re.compile(r"[^\W_](?:[^\w\s]|_)+[^\W_]")  # without one a text has but one spelling
BATCH_ITEMS = 2000


def build(settings: Decontaminate, folder: Path) -> dict[str, dict[str, int]]:
    """Write the index of all sets; returns {set: {items, short}}, where short ones have too few words to be found."""
    items: list[Item] = []
    rows: dict[str, list] = {"set": [], "number": []}
    parts = []
    for one in settings.sets:
        reader = read_items(one)
        while batch := list(islice(reader, BATCH_ITEMS)):
            parts.append(_runs(batch, len(items), settings))
            items += batch
        number = len(items) - len(rows["set"])
        rows["set"] += [one.name] * number
        rows["number"] += range(number)
    runs = _Runs.join(parts).without_phrases()
    question, everything = _covered(runs, items)
    table = {**rows, "parts": items, "question_chars": question, "chars": everything}
    write_arrow(folder / "items.arrow", pa.Table.from_pydict(table, schema=ITEM))
    hashes, first = np.unique(runs.hashes, return_index=True)
    arrays = (hashes, np.append(first, len(runs.hashes)), runs.entries, _filter(hashes))
    for name, array in zip(NAMES, arrays, strict=True):
        with atomic_path(folder / f"{name}.npy") as partial, partial.open("wb") as handle:
            np.save(handle, array)
    short = {one.name: 0 for one in settings.sets}
    for name, chars in zip(rows["set"], everything.tolist(), strict=True):
        short[name] += chars == 0
    return {name: {"items": rows["set"].count(name), "short": number} for name, number in short.items()}


class _Runs:
    """Columns of the runs of some items: hash, entry, and the item's characters at its first and last word."""

    def __init__(self, hashes: np.ndarray, entries: np.ndarray, spans: np.ndarray) -> None:
        self.hashes, self.entries, self.spans = hashes, entries, spans

    @classmethod
    def join(cls, parts: Sequence[_Runs]) -> _Runs:
        """All of them, sorted; what a layout or spelling has in common with another is there once."""
        nothing = cls(np.zeros(0, np.uint64), np.zeros(0, ENTRY), np.zeros((0, 2), np.int64))
        both = [nothing, *parts]
        hashes, entries, spans = (np.concatenate([getattr(p, n) for p in both]) for n in ("hashes", "entries", "spans"))
        order = np.lexsort((entries["form"], spans[:, 0], entries["item"], hashes))
        hashes, entries, spans = hashes[order], entries[order], spans[order]
        new = np.ones(len(hashes), dtype=bool)
        new[1:] = (hashes[1:] != hashes[:-1]) | (entries["item"][1:] != entries["item"][:-1])
        new[1:] |= spans[1:, 0] != spans[:-1, 0]
        return cls(hashes[new], entries[new], spans[new])

    def without_phrases(self) -> _Runs:
        """Without the runs that many items share, except those of items that have no other."""
        items = self.entries["item"]
        different = np.ones(len(self.hashes), dtype=bool)
        different[1:] = (self.hashes[1:] != self.hashes[:-1]) | (items[1:] != items[:-1])
        _, group = np.unique(self.hashes, return_inverse=True)
        shared = np.bincount(group, different)[group] > MAX_ITEMS if len(group) else different
        stays = ~shared | ~np.isin(items, np.unique(items[~shared]))
        return _Runs(self.hashes[stays], self.entries[stays], self.spans[stays])


def _runs(items: Sequence[Item], base: int, settings: Decontaminate) -> _Runs:
    """The runs of some items, the first of which is item number `base`."""
    forms: list[Layout] = []
    owner: list[int] = []
    place: list[int] = []
    for number, item in enumerate(items):
        mine = layouts(item) if item else []
        forms += mine
        owner += [base + number] * len(mine)
        place += range(len(mine))
    owners, places, speaks = np.array(owner), np.array(place), np.array([form.speaks for form in forms], dtype=bool)
    found = [_Runs.join([])]
    for spelling in SPELLINGS:
        several = [spelling == PLAIN or INNER_MARK.search(form.text) is not None for form in forms]
        spell = [form for form, chosen in zip(forms, several, strict=True) if chosen]
        original = np.flatnonzero(several)
        words, starts, stops = words_in_items(spell, spelling)
        sizes, of = np.diff(words.offsets), original[words.owners]
        for n, first, hashes in grams(words, range(settings.min_words, settings.ngram + 1)):
            if n < settings.ngram:  # only as a whole
                alone = (sizes[words.owners[first]] == n) & speaks[of[first]]
                first, hashes = first[alone], hashes[alone]
            form = of[first]
            entries = np.empty(len(first), dtype=ENTRY)
            entries["item"], entries["form"] = owners[form], places[form] * len(SPELLINGS) + spelling
            entries["word"], entries["size"] = first - words.offsets[words.owners[first]], n
            found.append(_Runs(hashes, entries, np.stack([starts[first], stops[first + n - 1]], axis=1)))
    return _Runs.join(found)


def _covered(runs: _Runs, items: Sequence[Item]) -> tuple[np.ndarray, np.ndarray]:
    """Characters in words of each item's first part, and of all its parts, that its runs cover; 0 for one without."""
    words = words_of([whole(item) for item in items])
    owners, sizes = words.owners, words.stops - words.starts
    span = int(words.stops.max(initial=0)) + 1
    keys = owners * span + words.starts
    layout, spelling = np.divmod(runs.entries["form"], len(SPELLINGS))
    plain = (spelling == PLAIN) & (layout < WHOLE_LAYOUTS)
    change = np.zeros(len(keys) + 1, dtype=np.int64)
    for column, step in ((0, 1), (1, -1)):
        at = np.searchsorted(keys, runs.entries["item"][plain].astype(np.int64) * span + runs.spans[plain, column])
        np.add.at(change, at, step)
    covered = sizes * (np.cumsum(change)[:-1] > 0)
    asked = words.starts < np.array([len(item[0]) if item else 0 for item in items], dtype=np.int64)[owners]
    found, total = np.bincount(owners, covered, len(items)), np.bincount(owners, sizes, len(items))
    known = np.isin(np.arange(len(items)), runs.entries["item"])  # be it in another layout or spelling only
    everything = np.where(known & (found == 0), total, found)
    return np.bincount(owners, covered * asked, len(items)).astype(np.int64), everything.astype(np.int64)


def _filter(hashes: np.ndarray) -> np.ndarray:
    found = np.zeros(1 << max(16, (16 * len(hashes)).bit_length()), dtype=bool)
    for bits in filter_bits(hashes, len(found)):
        found[bits] = True
    return found
