"""Sets of evaluation items: files of all kinds, wrong ones, their identity."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError, RecipeError
from crawl2chat.core.recipe import Recipe, load_recipe
from crawl2chat.core.settings_cleaning import EvalSet
from crawl2chat.pipelines.decontaminate_sets import check_sets, read_items, set_stamps


def test_items_of_all_kinds_of_files(tmp_path: Path) -> None:
    rows = [{"q": "one?", "c": {"text": ["a", "b"]}, "n": 3}, {"q": "two?", "c": {"text": []}, "n": None}]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl").write_text(lines)
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "c.parquet")
    (tmp_path / "d.txt").write_text("an item\n\nanother\n")
    tables = EvalSet(
        name="t", paths=[str(tmp_path / "[ab].jsonl*"), str(tmp_path / "c.parquet")], fields=["q", "c.text", "n"]
    )
    assert list(read_items(tables)) == [["one?", "a", "b", "3"], ["two?"]] * 3
    assert list(read_items(EvalSet(name="t", paths=[str(tmp_path / "d.txt")]))) == [["an item"], ["another"]]


@pytest.mark.parametrize(
    ("content", "fields", "message"),
    [
        ('{"question": "x"}\n', ["query"], r"sets\.s: .*row 0 has no field 'query'[\s\S]*its fields are: question"),
        ('{"q": {"text": "x"}}\n', ["q"], r"'q' holds objects[\s\S]*q\.text"),
        ('{"q": "x"\n', ["q"], "row 0 is not JSON"),
        ("[1]\n", ["q"], "is list, not an object"),
        (None, ["q"], r"decontaminate\.sets\.s\.paths: no file at"),
    ],
)
def test_a_wrong_set_is_named_before_any_work(
    tmp_path: Path, content: str | None, fields: list[str], message: str
) -> None:
    path = tmp_path / "s.jsonl"
    if content is not None:
        path.write_text(content)
    sets = [{"name": "s", "paths": [str(path)], "fields": fields}]
    recipe = load_recipe("tiny", [f"decontaminate.sets={json.dumps(sets)}"])
    with pytest.raises(InputError, match=message):
        check_sets(recipe)


def test_a_set_without_fields_or_of_one_name_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"decontaminate\.sets\.a\.fields is empty"):
        load_recipe("tiny", ["decontaminate.sets=[{name: a, paths: [a.jsonl]}]"])
    with pytest.raises(RecipeError, match="'a' is used twice"):
        load_recipe("tiny", ["decontaminate.sets=[{name: a, paths: [a.txt]}, {name: a, paths: [b.txt]}]"])


def test_a_changed_file_changes_the_stamp(tmp_path: Path) -> None:
    path = tmp_path / "s.txt"
    path.write_text("one")
    recipe = load_recipe("tiny", [f"decontaminate.sets=[{{name: s, paths: ['{path}']}}]"])
    before = set_stamps(recipe)
    path.write_text("another")
    assert set_stamps(recipe).keys() == before.keys() == {str(path)} and set_stamps(recipe) != before


def test_recipes_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe: Recipe = load_recipe("tiny", ["decontaminate.sets=[{name: a, paths: [a.txt]}]"])
    assert recipe.decontaminate.sets[0].paths == [str(tmp_path / "a.txt")]
