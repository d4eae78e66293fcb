"""Copies of a store's objects on this machine's disk: made once, never old, bounded; what is left behind goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.files import atomic_path, write_text
from crawl2chat.core.local_copies import KEEP_S, cache_folder, local_copy, make_room, scratch, work_folder
from crawl2chat.core.remote_path import RemotePath


def gets(server: Any, key: str) -> int:
    """How often the server was asked for an object's bytes."""
    log = Path(server.variables["CRAWL2CHAT_CACHE"]).with_name("server.log").read_text(errors="replace")
    return log.count(f'"GET /{key} ')


def test_an_object_is_fetched_once_and_anew_when_it_is_another(bucket: RemotePath, store_server: Any) -> None:
    client, key = store_server.client, f"{bucket.key.partition('/')[2]}/a.txt"
    client.put_object(Bucket="bucket", Key=key, Body=b"first")
    path = bucket / "a.txt"
    assert local_copy(path).read_bytes() == local_copy(path).read_bytes() == b"first"
    assert local_copy(path).name == "a.txt"
    assert gets(store_server, path.key) == 1
    client.put_object(Bucket="bucket", Key=key, Body=b"other")
    assert local_copy(path).read_bytes() == b"other"
    assert gets(store_server, path.key) == 2


def test_what_was_written_here_is_not_fetched(bucket: RemotePath, store_server: Any) -> None:
    with atomic_path(bucket / "b.bin") as partial:
        partial.write_bytes(b"x" * 1000)
    assert Path(os.fspath(bucket / "b.bin")).read_bytes() == b"x" * 1000
    assert gets(store_server, (bucket / "b.bin").key) == 0


def test_a_folder_s_copy_follows_its_files(bucket: RemotePath) -> None:
    write_text(bucket / "c" / "one", "1")
    write_text(bucket / "c" / "deep" / "two", "2")
    first = local_copy(bucket / "c")
    assert {path.relative_to(first).as_posix() for path in first.rglob("*") if path.is_file()} == {"one", "deep/two"}
    assert local_copy(bucket / "c") == first
    write_text(bucket / "c" / "one", "another")
    assert (local_copy(bucket / "c") / "one").read_text() == "another"
    assert (first / "one").read_text() == "1"


def test_room_is_made_by_what_was_not_used_for_longest(bucket: RemotePath) -> None:
    paths = [bucket / f"{number}.bin" for number in range(4)]
    for path in paths:
        with atomic_path(path) as partial:
            partial.write_bytes(path.name.encode() * 1000)
    copies = [local_copy(path) for path in paths]
    make_room(0)
    assert all(copy.exists() for copy in copies), "used just now"
    for age, copy in enumerate(reversed(copies), 1):
        for place in (copy, copy.parent):
            os.utime(place, times=(0, time.time() - KEEP_S * 2 - age))
    make_room(2 * copies[0].stat().st_size)
    assert [copy.exists() for copy in copies] == [False, False, True, True]
    assert local_copy(paths[0]).read_bytes() == b"0.bin" * 1000, "and is fetched again"


def test_room_is_made_when_a_part_of_the_bytes_that_may_stay_has_come(
    bucket: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRAWL2CHAT_CACHE_GB", "0.0001")  # 100 kB
    paths = [bucket / f"large-{number}.bin" for number in range(3)]
    copies = []
    for path in paths:
        with atomic_path(path) as partial:
            partial.write_bytes(bytes(60_000))
        copies.append(local_copy(path))
        for place in (copies[-1], copies[-1].parent):
            os.utime(place, times=(0, time.time() - KEEP_S * 2))
    assert [copy.exists() for copy in copies].count(True) <= 2


def test_a_copy_that_was_cut_is_fetched_again(bucket: RemotePath, store_server: Any) -> None:
    client, key = store_server.client, f"{bucket.key.partition('/')[2]}/whole.txt"
    client.put_object(Bucket="bucket", Key=key, Body=b"all of it")
    os.truncate(local_copy(bucket / "whole.txt"), 3)  # as after a crash of the machine
    assert local_copy(bucket / "whole.txt").read_bytes() == b"all of it"


def test_the_scratch_of_a_killed_process_is_removed_and_of_a_living_one_stays(
    bucket: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "from crawl2chat.core.local_copies import scratch\nprint(scratch(), flush=True)\ninput()"
    started = [
        subprocess.Popen([sys.executable, "-c", script], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    folders = [Path(one.stdout.readline().strip()) for one in started if one.stdout]
    try:
        assert all(folder.is_dir() and folder.is_relative_to(cache_folder()) for folder in folders)
        started[0].send_signal(signal.SIGKILL)
        started[0].wait()
        assert folders[0].is_dir()
        assert scratch().is_dir()  # of this process, which looks around as it begins
        assert not folders[0].exists() and folders[1].is_dir()
    finally:
        started[1].communicate("\n")
    assert not folders[1].exists(), "gone with its process"


def test_a_stage_s_disk_stays_for_the_same_attempt(bucket: RemotePath, tmp_path: Path) -> None:
    mark = tmp_path / "started.json"
    mark.write_text("one")
    first = work_folder(bucket / "crawl", mark)
    assert first.is_dir() and work_folder(bucket / "crawl", mark) == first
    mark.write_text("two")
    assert work_folder(bucket / "crawl", mark) != first
    assert work_folder(tmp_path, mark) == tmp_path
