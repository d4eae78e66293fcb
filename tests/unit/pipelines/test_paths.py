"""A source's paths: globs, packages, URLs; what is missing is refused with key, path and fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import InputError, RecipeError
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.settings_data import WarcSource
from crawl2chat.pipelines.sources import paths
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
    "address",
    [
        "reference::https://host/described.json",
        "reference://x::file:///tmp/described.json",
        "filecache::s3://bucket/a.warc",
        "zip://a.warc::https://host/all.zip",
        "python://os",
        "github://who:what@/a.warc",
    ],
)
def test_addresses_that_need_programs_to_be_read_are_refused(address: str) -> None:
    with pytest.raises(InputError, match="no place that is read from"):
        source_files(source(address))


def test_a_package_in_a_path_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recipe may name any package that is installed; what is in it is found and read, not imported."""
    package = tmp_path / "planted_package"
    package.mkdir()
    (package / "__init__.py").write_text(f"open({str(tmp_path / 'called')!r}, 'w')")
    (package / "a.warc").write_bytes(b"x")
    monkeypatch.syspath_prepend(tmp_path)
    assert source_files(source("package:planted_package/a.warc")) == ["package:planted_package/a.warc"]
    with pytest.raises(InputError, match="not installed"):
        source_files(source("package:planted_package.deeper/a.warc"))
    assert not (tmp_path / "called").exists()


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


def test_relative_and_absolute_files_of_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("x", "y"):
        Path(folder).mkdir()
        Path(folder, "1.warc").write_bytes(b"x")
    fsspec.filesystem("memory").pipe("/far/1.warc", b"abc")
    mixed = ["x/1.warc", f"{tmp_path}/y/1.warc"]
    check_sources(recipe(kind="warc", paths=mixed))
    assert key_names(mixed) == {mixed[0]: "x/1.warc", mixed[1]: "y/1.warc"}
    assert key_names(["x/1.warc", "y/1.warc"]) == {"x/1.warc": "x/1.warc", "y/1.warc": "y/1.warc"}
    assert len(set(key_names([*mixed, "memory:///far/1.warc"]).values())) == 3
    assert key_names(["memory:///a/1", "memory:///b/1"]) == {"memory:///a/1": "a/1", "memory:///b/1": "b/1"}


def test_one_file_under_two_spellings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.warc").write_bytes(b"x")
    assert len(source_files(source("a.warc", f"{tmp_path}/a.warc"))) == 1
    fsspec.filesystem("memory").pipe("/bucket/twice.warc", b"abc")
    assert len(source_files(source("memory://bucket/twice.warc", "memory:///bucket/twice.*"))) == 1


def test_a_pattern_is_listed_once_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.warc").write_bytes(b"x")
    listed: list[str] = []
    opened = paths.url_to_fs
    monkeypatch.setattr(paths, "url_to_fs", lambda address: (listed.append(address), opened(address))[1])
    settings = recipe(kind="warc", paths=[f"{tmp_path}/*.warc"])
    check_sources(settings)
    assert source_files(settings.sources[0]) == [f"{tmp_path}/a.warc"]
    assert listed == [f"{tmp_path}/*.warc"]


NAMED = {"user_agent": "myproject/1.0 (me@example.org)"}


@pytest.mark.parametrize("seed", ["http://example.org:99999/", "http://999.1.1.1/", "https://a.b/" + "x" * 2000])
def test_seeds_that_the_crawler_cannot_fetch_are_refused(seed: str) -> None:
    with pytest.raises(RecipeError) as caught:
        check_sources(recipe(kind="crawl", seeds=["https://example.org/", seed], **NAMED))
    assert "sources.s.seeds" in caught.value.message
    assert seed in caught.value.message
    assert "correct its host or port" in caught.value.fix
    assert caught.value.exit_code == 2


def test_a_crawl_of_others_sites_names_its_operator() -> None:
    seeds = ["https://example.org/"]
    with pytest.raises(RecipeError) as caught:
        check_sources(recipe(kind="crawl", seeds=seeds))
    assert caught.value.message == "sources.s.user_agent names no operator"
    assert "your project's name and a contact" in caught.value.fix
    check_sources(recipe(kind="crawl", seeds=seeds, **NAMED))
    check_sources(recipe(kind="crawl", site="pydoc"))  # the run's own site


def test_a_changed_file_changes_its_stamp(tmp_path: Path) -> None:
    path = tmp_path / "a.warc"
    path.write_bytes(b"x")
    before = stamps(recipe(kind="warc", paths=[str(path)]))
    path.write_bytes(b"xy")
    assert set(before) == {str(path)}
    assert stamps(recipe(kind="warc", paths=[str(path)])) != before
