"""What the stage `finetune` trains on, encoded into its folder: instruction pairs, chat data of the user's, or both.

    examples/{train,validation}.arrow    encoded conversations (train/examples.py)
    rejects.jsonl                        rows of the user's files that were left out (train/chat_rejects.py)

Instruction pairs alone are one a row, as short as they are. With `finetune.data` rows are packed as it says; the pairs
that `instructions` held out are held out here. All is in the template that `finetune.data` names, else in that of the
imported model that the recipe has for a base, else in ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..core.errors import InputError
from ..core.files import digest, sha256_file
from ..core.manifest import FileEntry, file_entry
from ..core.settings_alignment import ChatData
from ..core.stage import StageContext
from ..core.user_files import CHAT_DATA, user_files
from ..tokenize.bpe import Tokenizer
from ..tokenize.chat_templates import end_of_answer, make_template
from ..tokenize.given import describe_spoken
from .chat_examples import write_split
from .chat_rejects import Tally, write_ledger
from .examples import ChatDataset, write_examples
from .loader import TrainData
from .packed_chat import open_chat
from .packing import TooLong

PAIRS = ("pairs.jsonl", "pairs_validation.jsonl")


@dataclass(frozen=True)
class Prepared:
    """Data as they are opened in the workers, and what there is to say of them."""

    open_train: Callable[[], TrainData]
    open_validation: Callable[[], TrainData] | None
    held_out: Path  # the Arrow file of what is held out
    digest: str
    counters: dict[str, float | int]
    files: list[FileEntry]
    end: int  # the token that ends an answer
    template: dict[str, Any] | None  # tokenize/chat_templates.py; None: our own


def prepare(ctx: StageContext, tokenizer: Tokenizer, context: int) -> Prepared:
    """Encode the data. Raises InputError when nothing is left to learn from, or too much had to be left out."""
    data = ctx.recipe.finetune.data
    return _pairs_alone(ctx, tokenizer, context) if data is None else _chat(ctx, data, tokenizer, context)


def _pairs_alone(ctx: StageContext, tokenizer: Tokenizer, context: int) -> Prepared:
    pairs, examples = ctx.input_folder("instructions"), ctx.folder / "examples"
    train, validation = examples / "train.arrow", examples / "validation.arrow"
    description = describe_spoken(ctx.input_folder("tokenizer"), tokenizer)
    template = make_template(description, tokenizer)
    too_long = TooLong[(ctx.recipe.finetune.too_long or "truncate").upper()]
    counts, held_out = (
        write_examples(pairs / name, target, tokenizer, context, template, too_long)
        for name, target in zip(PAIRS, (train, validation), strict=True)
    )
    if not counts["examples"]:
        raise InputError(
            f"{pairs / PAIRS[0]} gives no example that fits model.context = {context}: {counts}",
            "raise model.context, set finetune.too_long to truncate or split, or leave fine-tuning out with "
            "instructions: null",
        )
    opened = partial(ChatDataset, context=context, whole=ctx.recipe.resources.parallel.compile)
    counters: dict[str, float | int] = {
        "examples": counts["examples"],
        "examples_cut": counts["truncated"],
        "examples_split": counts["split"],
        "examples_dropped": counts["dropped"],
        "validation_examples": held_out["examples"],
    }
    return Prepared(
        open_train=partial(opened, train),
        open_validation=partial(opened, validation) if held_out["examples"] else None,
        held_out=validation,
        digest=sha256_file(train),
        counters=counters,
        files=_entries(ctx.folder, train, validation, counts["examples"], held_out["examples"]),
        end=end_of_answer(template),
        template=description,
    )


def _chat(ctx: StageContext, data: ChatData, tokenizer: Tokenizer, context: int) -> Prepared:
    examples, too_long = ctx.folder / "examples", TooLong[data.too_long.upper()]
    train, validation = examples / "train.arrow", examples / "validation.arrow"
    description = describe_spoken(ctx.input_folder("tokenizer"), tokenizer, data.template, data.template_folder)
    template, tally = make_template(description, tokenizer), Tally(data.max_rejects)
    pairs = [ctx.input_folder("instructions") / name for name in PAIRS] if "instructions" in ctx.inputs else []
    sides = write_split(
        user_files(data.paths, CHAT_DATA), examples, template, tally, data.validation_share, data.format,
        apart=(pairs[:1], pairs[1:]),
    )  # fmt: skip
    ledger = write_ledger(ctx.folder, tally.rows)
    whole = ctx.recipe.resources.parallel.compile
    opened = partial(open_chat, context=context, too_long=too_long, packing=data.packing, whole=whole)
    rows, held_out = opened(train), opened(validation)
    if not len(rows):
        raise InputError(
            f"{CHAT_DATA} gives no conversation that fits model.context = {context}: "
            f"{tally.counts() | rows.packing.counts}",
            "raise model.context, set finetune.data.too_long to truncate or split, or give other files",
        )
    packed = {name: rows.packing.counts[name] for name in ("rows", "too_long", "dropped", "truncated", "split")}
    counters: dict[str, float | int] = {
        "examples": sides["train"],
        "validation_examples": sides["validation"],
        "places_filled": round(rows.packing.efficiency, 4),
        **packed,
        "nothing_to_learn": rows.packing.counts["nothing_to_learn"],
        **tally.counts(),
    }
    entries = _entries(ctx.folder, train, validation, sides["train"], sides["validation"])
    return Prepared(
        open_train=partial(opened, train),
        open_validation=partial(opened, validation) if len(held_out) else None,
        held_out=validation,
        digest=digest([sha256_file(train), data.too_long, data.packing]),
        counters=counters,
        files=[*entries, file_entry(ctx.folder, ledger, len(tally.rows))],
        end=end_of_answer(template),
        template=description,
    )


def _entries(folder: Path, train: Path, validation: Path, rows: int, held_out: int) -> list[FileEntry]:
    return [file_entry(folder, train, rows), file_entry(folder, validation, held_out)]
