"""A source's paths: globs, packages, URLs; what is missing is refused with key, path and fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.settings_data import WarcSource
from crawl2chat.pipelines.sources.paths import check_sources, key_names, open_binary, size_of, source_files, stamps


def source(*paths: str) -> WarcSource:
    return WarcSource(kind="warc", name="web", paths=list(paths))


def recipe(**settings: Any) -> Recipe:
    return Recipe.model_validate({"name": "t", "sources": [{"name": "s", **settings}]})


def test_globs_are_expanded_sorted_and_each_file_counts_once(tmp_path: Path) -> None:
    for name in ("b.warc", "a.warc", "c.txt"):
        (tmp_path / name).write_bytes(b"x")
    files = source_files(source(f"{tmp_path}/*.warc", f"{tmp_path}/a.warc"))
    assert files == [f"{tmp_path}/a.warc", f"{tmp_path}/b.warc"]


def test_relative_paths_stay_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/a.warc").write_bytes(b"x")
    assert source_files(source("in/*.warc")) == source_files(source("in/a.warc")) == ["in/a.warc"]


def test_file_in_a_package_is_found_without_importing_it() -> None:
    files = source_files(source("package:datatrove/assets/tokenizer_assignment.csv"))
    assert files == source_files(source("package:datatrove/assets/tokenizer_*.csv"))
    assert size_of(files[0]) > 1000
    with open_binary(files[0]) as handle:
        assert handle.read(6) == b"code_3"


def test_fsspec_urls() -> None:
    fsspec.filesystem("memory").pipe("/bucket/x.warc", b"abc")
    assert source_files(source("memory://bucket/*.warc")) == ["memory:///bucket/x.warc"]
    with open_binary("memory:///bucket/x.warc") as handle:
        assert handle.read() == b"abc"


@pytest.mark.parametrize(
    ("path", "fix"),
    [
        ("/nowhere/a.warc", "correct the path"),
        ("/nowhere/*.warc", "correct the pattern"),
        ("package:gensim_not_there/x", "pip install gensim_not_there"),
        ("nosuchscheme://x/y.warc", "correct the address"),
    ],
)
def test_missing_files_are_refused_with_key_path_and_fix(path: str, fix: str) -> None:
    with pytest.raises(InputError) as caught:
        check_sources(recipe(kind="warc", paths=[path]))
    assert "sources.s.paths" in caught.value.message
    assert path in caught.value.message
    assert fix in caught.value.fix


def test_the_demo_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        check_sources(recipe(kind="wikipedia", paths=["package:gensim/test/x.bz2"]))
    assert caught.value.fix == "pip install 'crawl2chat[demo]'"


def test_missing_parquet_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"body": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError) as caught:
        check_sources(recipe(kind="parquet", paths=[str(tmp_path / "a.parquet")]))
    assert "sources.s.text is 'text'" in caught.value.message
    assert "body" in caught.value.fix


def test_key_names_do_not_depend_on_where_the_data_lies() -> None:
    assert key_names(["/a/x/1.warc", "/a/y/2.warc"]) == {"/a/x/1.warc": "1.warc", "/a/y/2.warc": "2.warc"}
    assert key_names(["/a/x/1.warc", "/a/y/1.warc"]) == {"/a/x/1.warc": "x/1.warc", "/a/y/1.warc": "y/1.warc"}


def test_a_changed_file_changes_its_stamp(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(b"x")
    before = stamps(recipe(kind="warc", paths=[str(path)]))
    path.write_bytes(b"xy")
    assert set(before) == {str(path)}
    assert stamps(recipe(kind="warc", paths=[str(path)])) != before
