"""What `crawl2chat serve` refuses before anything starts."""

from __future__ import annotations

import signal
import socket
import threading
from pathlib import Path

import pytest
from crawl2chat.cli import main
from crawl2chat.core.errors import InputError
from crawl2chat.serve.launch import KEY_VARIABLE, allowed_hosts, check_port, digest_of, read_key, stop_signals


def test_loopback_needs_no_key_and_answers_to_its_names_only() -> None:
    for host in ("127.0.0.1", "localhost", "::1"):
        assert allowed_hosts(host, None, False) == ("localhost", "127.0.0.1", "[::1]")


def test_other_hosts_need_a_key_or_a_word() -> None:
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.org"):
        with pytest.raises(InputError, match="everyone who reaches this machine"):
            allowed_hosts(host, None, False)
        assert allowed_hosts(host, "key", False) is None
        assert allowed_hosts(host, None, True) is None


def test_names_of_a_proxy() -> None:
    loopback = ("localhost", "127.0.0.1", "[::1]")
    assert allowed_hosts("127.0.0.1", None, False, ["Chat.example.org", "10.0.0.7"]) == (
        *loopback, "chat.example.org", "10.0.0.7",
    )  # fmt: skip
    assert allowed_hosts("0.0.0.0", "key", False, ["chat.example.org"]) == (*loopback, "chat.example.org")
    assert allowed_hosts("fd00::7", "key", False, ["a"]) == (*loopback, "[fd00::7]", "a")
    with pytest.raises(InputError, match="everyone who reaches"):
        allowed_hosts("0.0.0.0", None, False, ["chat.example.org"])
    for wrong in ("https://chat.example.org", "chat.example.org:443", "chat.example.org/", "", "a b", "*"):
        with pytest.raises(InputError, match="is no name of a host"):
            allowed_hosts("127.0.0.1", None, False, [wrong])


def test_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "key"
    for content in ("", "two words", "schlüssel", "a\nb"):
        file.write_text(content, encoding="utf-8")
        with pytest.raises(InputError, match="one word of ASCII"):
            read_key(file)
    file.write_text("secret\n")
    assert read_key(file) == "secret"
    with pytest.raises(InputError, match="not readable"):
        read_key(tmp_path / "absent")
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert read_key(None) is None
    monkeypatch.setenv(KEY_VARIABLE, " from the environment ".strip())
    assert read_key(None) == "from the environment"
    digest = digest_of("secret")
    assert digest is not None and len(digest) == 64 and "secret" not in digest


def test_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"cannot listen on 127.0.0.1:{port}"):
            check_port("127.0.0.1", port)
    check_port("127.0.0.1", port)


def test_the_first_signal_is_noted_and_the_second_interrupts() -> None:
    stopped, before = threading.Event(), signal.getsignal(signal.SIGINT)
    with stop_signals(stopped):
        signal.raise_signal(signal.SIGTERM)
        assert stopped.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--run", "runs/absent"], "runs/absent is not a run"),
        (["--model", "models/absent"], "no folder at"),
        (["--run", "runs/absent", "--host", "0.0.0.0"], "everyone who reaches"),
        (["--run", "runs/absent", "--api-key-file", "absent"], "not readable"),
    ],
)
def test_the_command_refuses(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    assert main(["serve", *arguments]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("arguments", ["", "--run a --model b", "--run a --port 0", "--run a --slots 0"])
def test_the_command_line(arguments: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["serve", *arguments.split()])
    assert caught.value.code == 2
