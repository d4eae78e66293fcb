from __future__ import annotations

from pathlib import Path

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.user_files import file_stamps, user_files


def test_files_come_in_the_recipes_order_those_of_a_pattern_by_name_each_once(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "z.json"):
        (tmp_path / name).write_text("{}")
    (tmp_path / "folder.jsonl").mkdir()
    found = user_files([str(tmp_path / "z.json"), str(tmp_path / "*.jsonl"), str(tmp_path / "a.jsonl")], "key")
    assert [file.name for file in found] == ["z.json", "a.jsonl", "b.jsonl"]


@pytest.mark.parametrize("path", ["absent.json", "*.parquet", "."])
def test_what_is_not_there_is_named_with_its_key(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match=r"align\.data\.paths: no file at"):
        user_files([str(tmp_path / path)], "align.data.paths")


def test_a_changed_file_has_another_stamp(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("{}")
    before = file_stamps([file])
    file.write_text("{} ")
    assert file_stamps([file]) != before and list(before) == [str(file)]
