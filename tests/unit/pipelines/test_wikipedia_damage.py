"""Damaged dumps of MediaWiki: each fault costs its own pages, and is a row."""

from __future__ import annotations

import bz2
import re
from pathlib import Path

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.pipelines.sources.multistream import index_name, multistream_specs
from crawl2chat.pipelines.sources.records import Loss, Other, RawRecord

from .wikipedia_dump import by_units, dump, multistream, page, read, reasons


def test_broken_pages_cost_only_themselves() -> None:
    broken = page(2).replace("</title>", "<title>")
    endless = page(3).replace("</page>", "")
    found = read(dump(page(1), broken, endless, page(4), page(5).replace("<id>5</id>", "")))
    kept = [item.offset for item in found if isinstance(item, RawRecord)]
    assert kept == [1, 4]
    assert reasons(found) == {"bad_xml": 3}
    assert reasons(read(dump(page(1), page(2))[:-40])) == {"bad_xml": 1}


def test_a_broken_tag_of_a_page_is_a_row_and_costs_one_page() -> None:
    whole = dump(*(page(number) for number in range(1, 9))).decode()
    for tag in ("<page>", "</page>"):
        for number, found in enumerate(re.finditer(tag, whole)):
            broken = whole[: found.start() + 3] + "#" + whole[found.start() + 4 :]
            items = read(broken.encode())
            assert reasons(items) == {"bad_xml": 1}, (tag, number)
            assert [item.offset for item in items if isinstance(item, RawRecord)] == [
                one for one in range(1, 9) if one != number + 1
            ]
            assert len({item.place for item in items if not isinstance(item, Other)}) == 8


def test_pages_behind_the_last_whole_stream_are_missed() -> None:
    """Cut between two streams, every stream is sound: only the end of the dump shows that pages are gone."""
    pages = [page(number) for number in range(1, 7)]
    streams = [bz2.compress(one.encode()) for one in ("<mediawiki>", *pages, "</mediawiki>\n")]
    assert reasons(read(b"".join(streams))) == {}
    for number in range(2, len(streams)):
        found = read(b"".join(streams[:number]))
        (loss,) = [item for item in found if isinstance(item, Loss)]
        assert (loss.reason, len(found)) == ("bad_xml", number)
        assert "ends without </mediawiki>: pages are missing" in loss.detail
    part = read(b"".join(streams[:4]), part=1, parts=2)
    assert reasons(part) == {}, "damage of the file is a row of part 0 alone"


def test_large_pages_are_skipped() -> None:
    found = read(dump(page(1), page(2, "x" * 700_000), page(3)), max_bytes=1000)
    assert reasons(found) == {"too_large": 1}
    assert [item.offset for item in found if isinstance(item, RawRecord)] == [1, 3]


def test_damaged_bz2_ends_with_a_loss() -> None:
    data = bytearray(bz2.compress(dump(*(page(n) for n in range(1, 30)))))
    data[len(data) // 2] ^= 255
    assert reasons(read(bytes(data)))["bad_bz2"] == 1
    two_streams = bz2.compress(dump(page(1))) + bz2.compress(dump(page(2)))
    assert len(read(two_streams)) == 2


def test_a_damaged_stream_costs_its_own_pages_and_says_how_many(tmp_path: Path, short_dump: bytes) -> None:
    path, offsets = multistream(tmp_path, short_dump)
    plain = read(path.read_bytes())
    data = bytearray(path.read_bytes())
    data[offsets[3] + 500] ^= 255
    path.write_bytes(bytes(data))
    _, found = by_units(path, 200_000)
    losses = [item for item in found if isinstance(item, Loss) and item.reason == "bad_bz2"]
    assert [(loss.offset, loss.value) for loss in losses] == [(offsets[3], 7.0)]
    assert [item for item in found if item not in losses] == plain[:21] + plain[28:]
    without_index = read(bytes(data))
    assert [item.offset for item in without_index if isinstance(item, Loss) and item.reason == "bad_bz2"] == [
        offsets[3]
    ]
    assert {item.offset for item in without_index if isinstance(item, RawRecord)} == {
        item.offset for item in plain[:21] + plain[28:] if isinstance(item, RawRecord)
    }


@pytest.mark.parametrize("line", [b"1:2", b"no:1:x\n", b"99999999999:1:x\n", b"700:1:x\n600:2:y\n"])
def test_an_index_of_another_dump_is_refused(tmp_path: Path, short_dump: bytes, line: bytes) -> None:
    path, _ = multistream(tmp_path, short_dump[:300_000])
    index = Path(index_name(str(path)))
    assert index.exists()
    index.write_bytes(bz2.compress(line)[: None if line != b"1:2" else -5])
    with pytest.raises(InputError, match="is no index of its dump") as caught:
        multistream_specs(str(path), 1000)
    assert "move it away" in caught.value.fix


def test_an_index_that_counts_too_few_pages_loses_none_and_gives_none_the_place_of_another(
    tmp_path: Path, short_dump: bytes
) -> None:
    path, _ = multistream(tmp_path, short_dump)
    index = Path(index_name(str(path)))
    lines = bz2.decompress(index.read_bytes()).splitlines(keepends=True)
    index.write_bytes(bz2.compress(b"".join(line for at, line in enumerate(lines) if at % 5)))
    _, found = by_units(path, 200_000)
    assert [item.offset for item in found] == [item.offset for item in read(path.read_bytes())]
    assert len({item.place for item in found if not isinstance(item, Other)}) == 70
