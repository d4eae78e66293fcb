from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from crawl2chat.pipelines.sources.crawl import guard
from crawl2chat.pipelines.sources.crawl.guard import refusal


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("127.0.0.1", "loopback"),
        ("127.9.9.9", "loopback"),
        ("10.0.0.1", "private"),
        ("172.16.0.1", "private"),
        ("192.168.1.1", "private"),
        ("169.254.169.254", "link_local"),
        ("0.0.0.0", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "private"),
        ("100.64.0.1", "not_global"),
        ("::1", "loopback"),
        ("::", "unspecified"),
        ("fe80::1", "link_local"),
        ("fe80::1%eth0", "link_local"),
        ("fd00::1", "private"),
        ("fec0::1", "private"),
        ("ff02::1", "multicast"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:a9fe:a9fe", "link_local"),
        ("::127.0.0.1", "loopback"),
        ("2002:7f00:1::", "loopback"),
        ("64:ff9b::a00:1", "private"),
    ],
)
def test_refused(address: str, kind: str) -> None:
    assert refusal(address) == kind


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_public_addresses_pass(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "2130706433", "0177.1", "0x7f000001", "localhost", "[::1]", "[::ffff:7f00:1]"]
)
def test_spellings_of_loopback_are_refused(web: Any, tools: Any, tmp_path: Path, host: str) -> None:
    web.answers["/"] = tools.page()
    schedule = tools.crawl(
        tools.source(f"http://{host}:{web.port}/", allow_private=False, respect_robots=False), tmp_path
    )
    assert tools.ends(schedule) == {"/": ("refused", "address")}
    assert web.log == []  # not even a robots.txt was asked for
    if "ffff" not in host and host != "[::1]":
        assert tools.crawl(tools.source(web.url(), respect_robots=False), tmp_path / "x").status().pages == 1


@pytest.mark.parametrize("address", ["10.1.2.3", "169.254.169.254", "127.0.0.1", "::ffff:10.0.0.1"])
def test_names_that_resolve_to_private_addresses_are_refused(tools: Any, tmp_path: Path, address: str) -> None:
    async def lookup(host: str, port: int) -> list[tuple[str, int]]:
        return [(address, port)]

    source = tools.source("http://name.example/", allow_private=False, respect_robots=False)
    assert tools.ends(tools.crawl(source, tmp_path, lookup=lookup)) == {"/": ("refused", "address")}


def test_a_second_answer_of_the_name_server_is_checked_too(
    web: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: an address that passes when first asked, the machine's own afterwards.

    127.0.0.1 is let through here, as a public address would be, and the first page is really fetched. Its connection is
    closed, so that the second page needs another, to 127.0.0.2: not even an attempt of that may be made.
    """
    web.answers["/1"] = 200, {**tools.html, "Connection": "close"}, b"<p>one"
    monkeypatch.setattr(guard, "refusal", lambda address: None if address == "127.0.0.1" else refusal(address))
    answers: list[str] = []

    async def lookup(host: str, port: int) -> list[tuple[str, int]]:
        answers.append("127.0.0.2" if answers else "127.0.0.1")
        return [(answers[-1], web.port)]

    seeds = [f"http://name.example/{page}" for page in "12"]
    source = tools.source(*seeds, allow_private=False, respect_robots=False, concurrency=1)
    ends = tools.ends(tools.crawl(source, tmp_path, lookup=lookup))
    assert ends == {"/1": ("done", ""), "/2": ("refused", "address")}
    assert answers == ["127.0.0.1", "127.0.0.2"]
    assert [path for path, *_ in web.log] == ["/1"]


def test_a_redirect_to_loopback_is_refused(
    web: Any, tools: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """127.0.0.1 is let through here, as a public address would be; its redirect leads to another loopback address."""
    web.answers["/"] = 302, {"Location": f"http://127.0.0.2:{web.port}/secret"}, b""
    monkeypatch.setattr(guard, "refusal", lambda address: None if address == "127.0.0.1" else refusal(address))
    source = tools.source(web.url(), allow_private=False, respect_robots=False, same_host=False)
    assert tools.ends(tools.crawl(source, tmp_path)) == {"/": ("redirect", ""), "/secret": ("refused", "address")}
    assert web.asked("/secret") == 0


def test_a_refused_robots_txt_keeps_the_pages_away(web: Any, tools: Any, tmp_path: Path) -> None:
    schedule = tools.crawl(tools.source(web.url(), allow_private=False), tmp_path)
    assert tools.ends(schedule) == {"/": ("refused", "robots_unavailable")}
    assert web.log == []
