"""What the stage `align` trains on, encoded into its folder.

    pairs/{train,validation}.arrow    encoded pairs (train/preference_file.py)
    rejects.jsonl                     {file, row, reason, detail}: rows of the user's files that were left out

Reasons are those of train/preference_rows.py, and `template`, `too_long` for pairs that the chat template or the
context does not take: a pair is cut only when the recipe says so, as what tells the answers apart may stand behind the
cut.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import InputError
from ..core.manifest import FileEntry, file_entry
from ..core.settings_alignment import PreferenceData
from ..core.stage import StageContext
from ..core.user_files import PREFERENCES, user_files
from ..tokenize.chat_template import ChatTemplate
from ..tokenize.sample import SPLIT, cut_at, places
from .chat_rejects import Reject, write_ledger
from .finetune_data import PAIRS
from .preference_encoding import EncodedPair, encode_pair, truncated
from .preference_file import write_pairs
from .preference_making import made_pairs
from .preference_rows import Pair, read_pairs

SIDES = ("train", "validation")


@dataclass(frozen=True)
class Prepared:
    """The files, how many pairs they have, and what there is to say of them."""

    train: Path
    validation: Path
    pairs: dict[str, int]  # by side
    counters: dict[str, float | int]
    files: list[FileEntry]


def prepare(ctx: StageContext, data: PreferenceData, template: ChatTemplate, context: int) -> Prepared:
    """Encode the pairs. Raises InputError when there are none to train on, or more rejects than are allowed."""
    found, bad = read_pairs(user_files(data.paths, PREFERENCES), limit=data.max_rejects)
    rejects = [Reject(*_place(one.source), one.reason, one.detail) for one in bad]
    sides: dict[str, list[tuple[str, EncodedPair]]] = {side: [] for side in SIDES}
    cut = 0
    for side, pair in _split(ctx, data, found):
        try:
            encoded = encode_pair(template, pair)
        except InputError as error:
            rejects.append(Reject(*_place(pair.source), "template", error.message))
            continue
        fitting = encoded if encoded.longest <= context else None
        if fitting is None and data.too_long == "truncate":
            fitting = truncated(encoded, context)
            cut += fitting is not None
        if fitting is None:
            detail = f"{encoded.longest} tokens with the longer answer, the context is {context}"
            rejects.append(Reject(*_place(pair.source), "too_long", detail))
            continue
        sides[side].append((pair.source, fitting))
    reasons = Counter(one.reason for one in rejects)
    counts: dict[str, float | int] = {f"rejected.{reason}": number for reason, number in sorted(reasons.items())}
    if not sides["train"]:
        raise InputError(
            f"align.data gives no pair to train on: {counts or 'no rows'}",
            "raise model.context, set align.data.too_long: truncate, or give other files",
        )
    folder, pairs = ctx.folder / "pairs", {side: len(rows) for side, rows in sides.items()}
    for side, rows in sides.items():
        write_pairs(folder / f"{side}.arrow", rows)
    ledger = write_ledger(ctx.folder, rejects)
    files = [file_entry(ctx.folder, folder / f"{side}.arrow", number) for side, number in pairs.items()]
    kept = {"pairs": pairs["train"], "validation_pairs": pairs["validation"], "truncated": cut}
    return Prepared(
        folder / "train.arrow",
        folder / "validation.arrow",
        pairs,
        kept | counts,
        [*files, file_entry(ctx.folder, ledger, len(rejects))],
    )


def _split(ctx: StageContext, data: PreferenceData, found: list[Pair]) -> Iterator[tuple[str, Pair]]:
    """(side, pair): the user's by a hash of the prompt, made ones as `instructions` has split them."""
    cut = cut_at(data.validation_share)
    for pair in found:
        held_out = int(places([json.dumps(pair.prompt, sort_keys=True)], SPLIT)[0]) < cut
        yield SIDES[held_out], pair
    if data.from_instructions:
        train, validation = (ctx.input_folder("instructions") / name for name in PAIRS)
        for pair in made_pairs(train, ctx.recipe.seed):
            yield "train", pair
        for pair in made_pairs(validation, ctx.recipe.seed, beside=[train]):  # few documents may be held out
            yield "validation", pair


def _place(source: str) -> tuple[str, int]:
    file, _, line = source.rpartition(":")
    return file, int(line)
