"""Two processes meet as the backend has them meet, and listen on loopback alone while they do; Ray's part is in
integration/test_listening.py."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys

import pytest
from crawl2chat.train.rendezvous import MeetingBackend, MeetingConfig

RANK = """
import json, os, sys
import psutil, torch, torch.distributed as dist
from crawl2chat.train.rendezvous import join, open_store
rank = int(sys.argv[1])
if rank == 0:
    print(open_store(), flush=True)
port = int(sys.stdin.readline())
join("gloo", rank, 2, port, 120)
one = torch.ones(1)
dist.all_reduce(one)
dist.all_reduce(one, group=dist.new_group(backend="gloo"))
mine = psutil.Process().net_connections("inet")
print(json.dumps([one.item(), [each.laddr.ip for each in mine if each.status == "LISTEN"]]), flush=True)
sys.stdin.readline()
"""


def test_they_meet_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")  # as core/session.py tells a local Ray
    command = [sys.executable, "-c", RANK]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    ranks = [subprocess.Popen([*command, str(rank)], **pipes) for rank in range(2)]  # type: ignore[call-overload]
    try:
        port = ranks[0].stdout.readline()
        for one in ranks:
            one.stdin.write(port)
            one.stdin.flush()
        told = [json.loads(one.stdout.readline()) for one in ranks]
        for one in ranks:
            one.communicate("\n", timeout=120)
    finally:
        for one in ranks:
            one.kill()
    assert [value for value, _ in told] == [4.0, 4.0]
    addresses = [ipaddress.ip_address(address) for _, found in told for address in found]
    assert len(addresses) >= 3 and all((getattr(ip, "ipv4_mapped", None) or ip).is_loopback for ip in addresses)


def test_trainers_of_ours_take_this_backend() -> None:
    assert MeetingConfig().backend_cls is MeetingBackend
