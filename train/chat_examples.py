"""Chat data of others as training rows: conversations of files, encoded by a template into one Arrow file.

Out: the columns of train/examples.py, with whole conversations: train/packing.py sees to those that are too long.
`doc_id` is file name and row, joined by a colon. A conversation that the template refuses is a reject of the reason
`template`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from ..core.errors import InputError
from ..core.files import atomic_path
from ..tokenize.chat_template import ChatTemplate
from .chat_rejects import Reject, Tally
from .chat_rows import Conversation, read_conversations
from .examples import SCHEMA


def write_conversations(
    paths: Iterable[Path], target: Path, template: ChatTemplate, tally: Tally | None = None
) -> Tally:
    """Encode the conversations of the files, in their order. Returns what was read and left out.

    Raises InputError when a file cannot be read, or more rows are left out than the tally allows.
    """
    tally = tally if tally is not None else Tally()
    names: list[str] = []
    tokens, answer, offsets = array("i"), bytearray(), array("q", [0])
    for one in read_conversations(paths, tally):
        if not isinstance(one, Conversation):
            continue
        try:
            ids, mask = template.encode(one.messages)
        except InputError as error:
            tally.conversations -= 1
            tally.reject(Reject(one.file, one.row, "template", error.message))
            continue
        names.append(one.doc_id)
        tokens.extend(ids)
        answer.extend(mask)
        offsets.append(len(tokens))
    places = cast(pa.Int64Array, pa.array(np.frombuffer(offsets, dtype=np.int64)))
    columns = [
        pa.array(names, pa.string()),
        pa.LargeListArray.from_arrays(places, pa.array(np.frombuffer(tokens, dtype=np.int32))),
        pa.LargeListArray.from_arrays(places, pa.array(np.frombuffer(answer, dtype=np.bool_))),
    ]
    with atomic_path(target) as partial, pa.ipc.new_file(str(partial), SCHEMA) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
    return tally
