"""Chat data of others as training rows: conversations of files, encoded by a template into Arrow files.

Out: the columns of train/examples.py, with whole conversations: train/packing.py sees to those that are too long.
`doc_id` is file name and row, joined by a colon. A conversation that the template refuses is a reject of the reason
`template`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from ..core.errors import InputError
from ..core.files import atomic_path
from ..tokenize.chat_template import ChatTemplate
from ..tokenize.sample import SPLIT, cut_at, places
from .chat_rejects import Reject, Tally
from .chat_rows import Conversation, read_conversations
from .examples import SCHEMA

Encoded = tuple[Conversation, list[int], list[bool]]
SIDES = ("train", "validation")


def write_conversations(
    paths: Iterable[Path], target: Path, template: ChatTemplate, tally: Tally | None = None
) -> Tally:
    """Encode the conversations of the files, in their order. Returns what was read and left out.

    Raises InputError when a file cannot be read, or more rows are left out than the tally allows.
    """
    tally = tally if tally is not None else Tally()
    side = _Side()
    for one in _encoded(paths, template, tally):
        side.add(*one)
    side.write(target)
    return tally


def write_split(
    paths: Sequence[Path],
    folder: Path,
    template: ChatTemplate,
    tally: Tally,
    share: float,
    form: str = "auto",
    apart: tuple[Sequence[Path], Sequence[Path]] = ((), ()),
) -> dict[str, int]:
    """The same into train.arrow and validation.arrow of a folder; conversations a side.

    About `share` of the conversations are held out, by a hash of the first question: the same question never stands on
    both sides. `apart`: files that belong to one of the sides as a whole.
    """
    sides, cut = {name: _Side() for name in SIDES}, cut_at(share)
    for name, files in zip(SIDES, apart, strict=True):
        for one in _encoded(files, template, tally):
            sides[name].add(*one)
    for one in _encoded(paths, template, tally, form):
        question = next(turn["content"] for turn in one[0].messages if turn["role"] == "user")
        sides[SIDES[int(places([question], SPLIT)[0]) < cut]].add(*one)
    for name, side in sides.items():
        side.write(folder / f"{name}.arrow")
    return {name: len(side.names) for name, side in sides.items()}


def _encoded(paths: Iterable[Path], template: ChatTemplate, tally: Tally, form: str = "auto") -> Iterator[Encoded]:
    for one in read_conversations(paths, tally, form):
        if not isinstance(one, Conversation):
            continue
        try:
            yield one, *template.encode(one.messages)
        except InputError as error:
            tally.conversations -= 1
            tally.reject(Reject(one.file, one.row, "template", error.message))


class _Side:
    """Conversations on their way into one file."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._tokens, self._answer, self._offsets = array("i"), bytearray(), array("q", [0])

    def add(self, one: Conversation, ids: list[int], mask: list[bool]) -> None:
        self.names.append(one.doc_id)
        self._tokens.extend(ids)
        self._answer.extend(mask)
        self._offsets.append(len(self._tokens))

    def write(self, target: Path) -> None:
        offsets = cast(pa.Int64Array, pa.array(np.frombuffer(self._offsets, dtype=np.int64)))
        columns = [
            pa.array(self.names, pa.string()),
            pa.LargeListArray.from_arrays(offsets, pa.array(np.frombuffer(self._tokens, dtype=np.int32))),
            pa.LargeListArray.from_arrays(offsets, pa.array(np.frombuffer(self._answer, dtype=np.bool_))),
        ]
        with atomic_path(target) as partial, pa.ipc.new_file(str(partial), SCHEMA) as writer:
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
