"""A run in a store has one holder: refused while it lives, free when it is dead, stopped when it lost the run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core import lease
from crawl2chat.core.errors import BusyError
from crawl2chat.core.files import at_once
from crawl2chat.core.lock import hold, holder
from crawl2chat.core.remote_path import RemotePath

HOLD = """
import sys
from crawl2chat.core import lease
from crawl2chat.core.lock import hold
from crawl2chat.core.remote_path import path_of
lease.RENEW_S = 0.3
if sys.argv[2]:
    lease._machine = lambda: sys.argv[2]
with hold(path_of(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def holding(folder: RemotePath, machine: str = "") -> subprocess.Popen[str]:
    """Another process that holds the folder, of another machine if one is named."""
    command = [sys.executable, "-c", HOLD, str(folder), machine]
    process = subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def test_it_is_held_by_one_and_given_back(bucket: RemotePath) -> None:
    assert holder(bucket) is None
    with hold(bucket):
        assert holder(bucket) == str(os.getpid())
        told = json.loads((bucket / "lock").read_bytes())
        assert told["process"] == os.getpid()
        assert set(told) == {"owner", "process", "host", "machine", "started", "renewed"}
        with pytest.raises(BusyError, match=f"worked on by process {os.getpid()} on"), hold(bucket):
            pass
        assert holder(bucket) == str(os.getpid()), "who was refused took nothing away"
    assert holder(bucket) is None and not (bucket / "lock").exists()


def test_of_many_that_want_it_one_gets_it(bucket: RemotePath) -> None:
    met = threading.Barrier(8)
    holders: list[lease._Lease] = []
    refused: list[BusyError] = []

    def want() -> None:
        one = lease._Lease(bucket)
        met.wait()
        try:
            one.take()
            holders.append(one)
        except BusyError as error:
            refused.append(error)

    started = [threading.Thread(target=want) for _ in range(8)]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    assert (len(holders), len(refused)) == (1, 7)
    holders[0].give_back()
    assert not (bucket / "lock").exists()


def test_a_process_that_was_killed_on_this_machine_holds_it_no_more(bucket: RemotePath) -> None:
    process = holding(bucket)
    assert holder(bucket) == str(process.pid)
    with pytest.raises(BusyError, match=f"process {process.pid} on"), hold(bucket):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (bucket / "lock").exists() and holder(bucket) is None
    with hold(bucket):
        assert holder(bucket) == str(os.getpid())


def test_a_dead_process_elsewhere_holds_it_until_its_lease_expires(
    bucket: RemotePath, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = holding(bucket, machine="another")
    end(process)
    with pytest.raises(BusyError, match="is free 90 s after"), hold(bucket):
        pass
    monkeypatch.setattr(lease, "EXPIRES_S", 1.0)  # the store tells times in whole seconds
    time.sleep(2.5)
    with hold(bucket):
        assert holder(bucket) == str(os.getpid())


def test_a_living_one_elsewhere_renews_it(bucket: RemotePath, monkeypatch: pytest.MonkeyPatch) -> None:
    process = holding(bucket, machine="another")
    try:
        monkeypatch.setattr(lease, "EXPIRES_S", 2.0)
        end_at = time.monotonic() + 5
        while time.monotonic() < end_at:
            with pytest.raises(BusyError), hold(bucket):
                pass
            time.sleep(0.5)
    finally:
        end(process)


def test_a_number_that_another_process_has_by_now_holds_nothing(bucket: RemotePath) -> None:
    told = {"owner": "x", "process": os.getpid(), "host": "h", "machine": lease._machine(), "started": "1"}
    (bucket / "lock").write_bytes(json.dumps(told).encode())
    assert holder(bucket) is None
    (bucket / "lock").write_bytes(json.dumps(told | {"started": lease._started(os.getpid())}).encode())
    assert holder(bucket) == str(os.getpid())
    (bucket / "lock").unlink()


def test_who_lost_it_is_stopped(bucket: RemotePath, monkeypatch: pytest.MonkeyPatch, store_server: Any) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.2)
    reached = time.monotonic() + 30
    with pytest.raises(BusyError, match="another process has taken it"), hold(bucket):
        key = (bucket / "lock").key.partition("/")[2]
        store_server.client.put_object(Bucket="bucket", Key=key, Body=b"{}")
        while time.monotonic() < reached:
            time.sleep(0.1)
    assert (bucket / "lock").read_bytes() == b"{}", "it is not given back by who has it no more"


def test_a_renewal_whose_answer_was_lost_is_ours(
    bucket: RemotePath, monkeypatch: pytest.MonkeyPatch, store_server: Any
) -> None:
    monkeypatch.setattr(lease, "RENEW_S", 0.2)
    with hold(bucket):
        told = json.loads((bucket / "lock").read_bytes())
        key = (bucket / "lock").key.partition("/")[2]
        store_server.client.put_object(Bucket="bucket", Key=key, Body=json.dumps(told | {"renewed": -1}).encode())
        until = time.monotonic() + 30
        while json.loads((bucket / "lock").read_bytes())["renewed"] < 0:
            assert time.monotonic() < until, "it is not renewed any more"
            time.sleep(0.1)
    assert not (bucket / "lock").exists()


def test_an_interrupt_of_a_user_stays_one(bucket: RemotePath) -> None:
    with pytest.raises(KeyboardInterrupt), hold(bucket):
        raise KeyboardInterrupt
    assert not (bucket / "lock").exists()


def test_locks_on_a_disk_are_what_they_were(tmp_path: Path) -> None:
    with hold(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())
    assert at_once(str, [1]) == ["1"]
