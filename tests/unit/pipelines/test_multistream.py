"""Multistream dumps: units of whole streams give what the plain read gives."""

from __future__ import annotations

import bz2
import io
from pathlib import Path

import pytest
from crawl2chat.core.recipe import Recipe
from crawl2chat.pipelines.sources.multistream import index_name, index_stamps, multistream_specs, read_streams

from .wikipedia_dump import SITE, by_units, dump, multistream, page, read


def test_the_units_of_a_multistream_dump_give_the_pages_of_the_plain_read(tmp_path: Path, english_dump: bytes) -> None:
    path, offsets = multistream(tmp_path, english_dump)
    specs, found = by_units(path, 200_000)
    assert 4 <= len(specs) <= 12
    assert [offset for spec in specs for offset, _ in spec["streams"]] == offsets
    assert len(found) == 206
    assert found == read(bz2.compress(english_dump))


@pytest.mark.parametrize("unit_bytes", [1, 1 << 30])
def test_units_of_one_stream_and_of_many(tmp_path: Path, short_dump: bytes, unit_bytes: int) -> None:
    path, offsets = multistream(tmp_path, short_dump)
    specs, found = by_units(path, unit_bytes)
    assert len(specs) == len(offsets) if unit_bytes == 1 else 2 <= len(specs) <= 4
    assert len(found) == 70
    assert found == read(path.read_bytes()), "also without the index: the streams as one file"


def test_a_unit_reads_only_its_own_streams(tmp_path: Path, short_dump: bytes) -> None:
    path, _ = multistream(tmp_path, short_dump)
    specs = multistream_specs(str(path), 200_000)
    data = bytearray(path.read_bytes())
    first = specs[0]["streams"][0][0]
    for spec in specs[1:]:
        data[spec["streams"][0][0] : spec["stop"]] = b"\xff" * (spec["stop"] - spec["streams"][0][0])
    assert first > 0
    assert (
        list(read_streams(io.BytesIO(bytes(data)), SITE, specs[0], 1 << 20))
        == read(path.read_bytes())[: sum(count for _, count in specs[0]["streams"])]
    )


@pytest.mark.parametrize(
    ("name", "index"),
    [
        ("/x/dewiki-20240301-multistream.xml.bz2", "dewiki-20240301-multistream-index.txt.bz2"),
        ("s3://b/d-multistream1.xml-p1p41242.bz2", "d-multistream-index1.txt-p1p41242.bz2"),
        ("/x/enwiki-pages-articles.xml.bz2", ""),
        ("/x/e-multistream-index.txt.bz2", ""),
    ],
)  # fmt: skip
def test_names_of_indexes(name: str, index: str) -> None:
    assert index_name(name).rpartition("/")[2] == index


def test_another_index_is_another_input(tmp_path: Path) -> None:
    made, index = tmp_path / "x-multistream.xml.bz2", tmp_path / "x-multistream-index.txt.bz2"
    made.write_bytes(bz2.compress(dump(page(1))))
    sources = [{"kind": "wikipedia", "name": "wiki", "paths": [str(made)]}]
    recipe = Recipe.model_validate({"name": "r", "sources": sources})
    assert index_stamps(recipe) == {}
    index.write_bytes(bz2.compress(b"0:1:Page 1?\n"))
    before = index_stamps(recipe)
    assert before.keys() == {str(index)}
    index.write_bytes(bz2.compress(b"0:1:Page 1?\n0:2:Page 2?\n"))
    assert index_stamps(recipe) != before
