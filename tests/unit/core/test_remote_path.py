"""Paths into an object store, against a real S3 server: what pathlib's paths do, and what is not to go wrong."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from crawl2chat.core.errors import RecipeError, StoreError
from crawl2chat.core.files import (
    at_once,
    atomic_path,
    folder_to_keep,
    link_or_copy,
    remove_folder,
    remove_partials,
    sha256_file,
    sync,
    write_json,
    write_text,
)
from crawl2chat.core.log import end_logs, log, log_to_folder
from crawl2chat.core.remote_path import RemotePath, is_remote, path_of
from crawl2chat.core.run_events import RunEvents, read_run_events
from crawl2chat.core.settings_storage import check_storage
from crawl2chat.core.units import Unit, UnitReport, commit, finished


def test_names_are_handled_as_pathlib_does_and_stay_addresses() -> None:
    path = path_of("s3://bucket/runs/tiny/extract/manifest.json")
    assert isinstance(path, RemotePath)
    assert (path.name, path.stem, path.suffix) == ("manifest.json", "manifest", ".json")
    assert str(path.parent) == f"{path.parent}" == "s3://bucket/runs/tiny/extract"
    assert str(path.with_name("a b.txt")) == "s3://bucket/runs/tiny/extract/a b.txt"
    assert str(path.parent / "units" / "x.json") == "s3://bucket/runs/tiny/extract/units/x.json"
    assert path.absolute() == path.resolve() == path == path_of(str(path))
    assert path.is_absolute() and len({path, path_of(str(path))}) == 1
    inside = path.relative_to(path_of("s3://bucket/runs"))
    assert type(inside) is type(Path("a")) and inside.as_posix() == "tiny/extract/manifest.json"
    assert path.is_relative_to(path_of("s3://bucket/runs")) and not path.is_relative_to(path_of("s3://bucket/other"))
    with pytest.raises(ValueError):
        path.relative_to(path_of("s3://other/runs"))
    assert sorted([path_of("s3://b/b"), path_of("s3://b/a")])[0].name == "a"
    copy = pickle.loads(pickle.dumps(path))
    assert copy == path and type(copy) is RemotePath and str(copy) == str(path)


def test_other_texts_are_local_paths() -> None:
    assert type(path_of("runs/tiny")) is type(Path("runs"))
    assert path_of(Path("x")) == Path("x")
    assert not any(is_remote(text) for text in ("runs", "s3:/a", "https://host/a", "s3a", "/s3://x"))


def test_files_are_written_and_read(bucket: RemotePath, store_server: Any) -> None:
    assert not bucket.exists() and not bucket.is_dir() and not list(bucket.glob("*"))
    write_json(bucket / "a" / "one.json", {"x": 1})
    assert store_server.objects(bucket.key.partition("/")[2] + "/a") == {
        f"{bucket.key.partition('/')[2]}/a/one.json": b'{\n "x": 1\n}\n'
    }
    one = bucket / "a" / "one.json"
    assert bucket.is_dir() and (bucket / "a").exists() and one.is_file() and not one.is_dir()
    assert json.loads(one.read_text(encoding="utf-8")) == {"x": 1}
    assert one.stat().st_size == 12 and one.stat().st_mtime_ns == int(one.stat().st_mtime) * 10**9
    with one.open(encoding="utf-8") as file:
        assert file.readline() == "{\n"
    one.unlink()
    assert not one.exists() and not bucket.exists()
    one.unlink(missing_ok=True)
    for ask in (
        one.unlink,
        one.stat,
        one.read_text,
        lambda: os.fspath(one),
        lambda: one.open("r+b"),
        lambda: list(one.parent.iterdir()),
    ):
        with pytest.raises(FileNotFoundError):
            ask()


def test_what_grows_is_appended_to(bucket: RemotePath) -> None:
    path = bucket / "log.jsonl"
    with path.open("a", encoding="utf-8") as file:
        file.write("one\n")
        sync(file)
        assert path.read_text() == "one\n"
        file.write("two\n")
    with path.open("ab+", buffering=0) as raw:
        raw.seek(-1, os.SEEK_END)
        assert raw.read(1) == b"\n"
        raw.write(b"three\n")
    assert path.read_text() == "one\ntwo\nthree\n"
    with path.open("r+b") as file:
        file.truncate(4)
    assert path.read_bytes() == b"one\n"
    with pytest.raises(FileExistsError):
        path.open("x")
    with path.open("w") as file:
        file.write("new")
    assert path.read_text() == "new"


def test_folders_are_listed_matched_and_removed(bucket: RemotePath) -> None:
    names = ["x/1/manifest.json", "x/2/manifest.json", "x/2/deep/part-00001.arrow", "x/part-2.arrow", "xy/other.json"]
    at_once(lambda name: write_text(bucket / name, name), names)
    assert [path.name for path in (bucket / "x").iterdir()] == ["1", "2", "part-2.arrow"]
    assert [str(path.relative_to(bucket)) for path in bucket.glob("*/*/manifest.json")] == names[:2]
    assert [path.name for path in (bucket / "x").glob("part-*.arrow")] == ["part-2.arrow"]
    assert [path.name for path in (bucket / "x").rglob("part-*")] == ["part-00001.arrow", "part-2.arrow"]
    assert (bucket / "x").below() == ["1/manifest.json", "2/deep/part-00001.arrow", "2/manifest.json", "part-2.arrow"]
    remove_folder(bucket / "x")
    assert bucket.below() == ["xy/other.json"]
    remove_folder(bucket / "nothing")


def test_what_takes_only_names_of_files_gets_copies(bucket: RemotePath) -> None:
    table = pa.table({"n": list(range(5))})
    with atomic_path(bucket / "t.parquet") as partial:
        assert not isinstance(partial, RemotePath)
        pq.write_table(table, partial)
    assert pq.read_table(bucket / "t.parquet") == table
    with pq.ParquetFile(bucket / "t.parquet") as file:
        assert file.metadata.num_rows == 5
    with atomic_path(bucket / "a.npy") as partial, partial.open("wb") as handle:
        np.save(handle, np.arange(3))
    assert np.load(bucket / "a.npy", mmap_mode="r").tolist() == [0, 1, 2]
    with atomic_path(bucket / "a.arrow") as partial, pa.ipc.new_file(str(partial), table.schema) as writer:
        writer.write_table(table)
    assert pa.ipc.open_file(pa.memory_map(os.fspath(bucket / "a.arrow"))).read_all() == table
    assert sorted(os.listdir(os.fspath(bucket))) == ["a.arrow", "a.npy", "t.parquet"]  # noqa: PTH208  of a copied folder


def test_a_block_that_fails_puts_nothing(bucket: RemotePath) -> None:
    with pytest.raises(RuntimeError), atomic_path(bucket / "half.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert not bucket.exists() and not partial.exists()
    with folder_to_keep(bucket / "logs") as kept:
        (kept / "deep").mkdir()
        (kept / "deep" / "a.log").write_text("said")
    assert (bucket / "logs" / "deep" / "a.log").read_text() == "said"


def test_another_name_for_an_object_is_a_copy_in_the_store(bucket: RemotePath, tmp_path: Path) -> None:
    write_text(bucket / "a", "bytes")
    link_or_copy(bucket / "a", bucket / "b")
    (tmp_path / "here").write_text("local")
    link_or_copy(tmp_path / "here", bucket / "c")
    link_or_copy(bucket / "c", tmp_path / "there")
    assert (bucket / "b").read_text() == "bytes" and (tmp_path / "there").read_text() == "local"
    assert (bucket / "b").replace(bucket / "d") == bucket / "d"
    assert [path.name for path in bucket.iterdir()] == ["a", "c", "d"]


def test_large_objects_go_in_parts_and_parts_that_were_left_are_removed(
    bucket: RemotePath, store_server: Any, tmp_path: Path
) -> None:
    large = os.urandom(1 << 20) * 101  # beyond what s3fs puts at once
    with atomic_path(bucket / "large") as partial:
        partial.write_bytes(large)
    assert (bucket / "large").found().tag.endswith('-3"')
    assert (bucket / "large").stat().st_size == len(large)
    written = tmp_path / "written"
    written.write_bytes(large)
    assert sha256_file(bucket / "large") == sha256_file(written)
    for name in ("run/stage/half", "run-2/half"):
        key = f"{bucket.key.partition('/')[2]}/{name}"
        store_server.client.create_multipart_upload(Bucket="bucket", Key=key)
    remove_partials(bucket / "run")
    mine = [key for key in store_server.uploads() if key.startswith(bucket.key.partition("/")[2])]
    assert [key.rpartition("/")[0].rpartition("/")[2] for key in mine] == ["run-2"]


def test_records_of_units_count_as_on_a_disk(bucket: RemotePath) -> None:
    units = [Unit(name=f"web-{number:05d}") for number in range(3)]
    assert finished(bucket, units, {}) == {}
    for unit in units[:2]:
        commit(bucket, unit, {}, UnitReport(name=unit.name, files=[], counters={"documents": 1}))
    assert sorted(finished(bucket, units, {})) == ["web-00000", "web-00001"]
    assert finished(bucket, units, {"other": 1}) == {}


def test_events_and_the_log_are_kept_and_tell_no_secret(bucket: RemotePath, store_server: Any) -> None:
    secret = store_server.variables["AWS_SECRET_ACCESS_KEY"]
    events = RunEvents(bucket / "logs", "tiny")
    events.add("run_began", stages=["extract"])
    events.add("run_ended", state="finished")
    assert [one["event"] for one in read_run_events(bucket / "logs")] == ["run_began", "run_ended"]
    level = log.level
    log.setLevel("INFO")
    log_to_folder(bucket / "logs")
    log.info("the key is %s", secret)
    end_logs()
    log.setLevel(level)
    text = (bucket / "logs" / "crawl2chat.log").read_text()
    assert "the key is ***" in text and secret not in text


def test_what_the_store_refuses_is_told_with_a_fix(bucket: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = path_of("s3://nobucket/x")
    assert isinstance(nowhere, RemotePath)
    with pytest.raises(StoreError, match="there is no bucket nobucket"):
        nowhere.store.check(nowhere.key)
    with pytest.raises(StoreError, match="there is no bucket nobucket") as refused:
        write_text(nowhere, "text")
    assert refused.value.exit_code == 2 and "make the bucket" in refused.value.fix


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("s3://key:secretvalue@bucket/x", "credentials"),
        ("s3://bucket/x?token=secretvalue", "credentials"),
        ("hdfs://host/x", "no store that runs can lie in"),
        ("s3://", "names no bucket"),
        ("s3://bucket//x", "names no bucket or folder"),
    ],
)
def test_addresses_that_no_run_can_lie_at_are_refused(address: str, said: str) -> None:
    with pytest.raises(RecipeError, match=said) as refused:
        check_storage(address)
    assert "secretvalue" not in str(refused.value)
    check_storage("runs")
    check_storage("s3://bucket/runs")


def test_a_run_on_a_disk_imports_nothing_of_stores() -> None:
    script = (
        "import sys, tempfile\nfrom pathlib import Path\nfrom crawl2chat.core.recipe import load_recipe\n"
        "from crawl2chat.core.run import Run\nfrom crawl2chat.core.stage import plan\n"
        "run = Run(load_recipe('tiny', [f'storage={tempfile.mkdtemp()}']))\n"
        "with run.lock():\n    run.write_recipe()\n    run.events.add('run_began')\n"
        "Run.open(run.folder)\n"
        "print([name for name in sys.modules if name.partition('.')[0] in ('fsspec', 's3fs', 'botocore')])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
