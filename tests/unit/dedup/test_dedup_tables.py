"""Ids as numbers and back, files that map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from crawl2chat.core.errors import ContractError
from crawl2chat.core.schema import doc_id
from crawl2chat.core.units import Unit
from crawl2chat.dedup.tables import EDGE, join_ids, numbers, only_parts, read_arrow, split_ids, write_arrow


def test_ids_survive_and_keep_their_order() -> None:
    ids = sorted(doc_id("s", str(number)) for number in range(500))
    high, low = split_ids(ids)
    assert join_ids(high, low) == ids
    assert (np.diff(high.astype(object)) > 0).all()
    assert split_ids([])[0].shape == (0,)


@pytest.mark.parametrize("wrong", ["", "abc", "g" * 32, "00 " * 10 + "00", "é" * 32])
def test_other_ids_are_refused(wrong: str) -> None:
    with pytest.raises(ContractError, match="is not 32 hex digits"):
        split_ids([doc_id("s", "1"), wrong])


def test_empty_and_many_chunks_become_one_batch(tmp_path: Path) -> None:
    import pyarrow as pa

    rows = pa.Table.from_pylist([{"left": 1, "right": 2, "key": 3}], schema=EDGE)
    write_arrow(tmp_path / "e.arrow", pa.concat_tables([rows, rows, rows]))
    write_arrow(tmp_path / "n.arrow", EDGE.empty_table())
    assert len(read_arrow(tmp_path / "e.arrow")["left"].chunks) == 1
    assert numbers(read_arrow(tmp_path / "n.arrow")["left"]).dtype == np.uint64


def test_parts_of_another_layout_are_removed(tmp_path: Path) -> None:
    (tmp_path / "units").mkdir()
    for number in range(4):
        (tmp_path / f"part-{number:05d}.arrow").write_bytes(b"")
    only_parts(tmp_path, [Unit(name="part-00000"), Unit(name="part-00001")])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["part-00000.arrow", "part-00001.arrow", "units"]
    only_parts(tmp_path / "none", [])
