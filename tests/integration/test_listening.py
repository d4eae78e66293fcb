"""What listens while a local Ray runs, with its dashboard and with workers that train together: loopback alone."""

from __future__ import annotations

import ipaddress
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.ray, pytest.mark.slow]

RUN = Path(__file__).with_name("listening_run.py")
MARK = "CRAWL2CHAT_LISTENING"


def listening(mark: str) -> dict[str, list[str]]:
    """Addresses that the processes with this mark in their environment listen on, by the processes' names."""
    found: dict[str, list[str]] = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == mark:
                addresses = [one.laddr.ip for one in process.net_connections("inet") if one.status == "LISTEN"]
                found.setdefault(process.name(), []).extend(addresses)
        except psutil.Error:
            continue
    return found


def on_loopback(address: str) -> bool:
    ip = ipaddress.ip_address(address)
    return ip.is_loopback or (getattr(ip, "ipv4_mapped", None) or ip).is_loopback


def test_a_local_ray_and_its_training_listen_on_loopback_alone(tmp_path: Path) -> None:
    mark = uuid.uuid4().hex
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | {MARK: mark}
    with (tmp_path / "output.txt").open("w") as output:
        process = subprocess.Popen([sys.executable, RUN, tmp_path], env=environment, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 540
        while len(list(tmp_path.glob("ready-*"))) < 2:
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "output.txt").read_text()
            time.sleep(0.5)
        found = listening(mark)
        (tmp_path / "enough").touch()
        assert process.wait(120) == 0, (tmp_path / "output.txt").read_text()
    finally:
        process.kill()
    addresses = [one for each in found.values() for one in each]
    assert "gcs_server" in found and "raylet" in found and len(addresses) > 8, found
    assert [one for one in addresses if not on_loopback(one)] == [], found
