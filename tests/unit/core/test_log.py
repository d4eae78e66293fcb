"""What leaves the one logger, and what is copied beside it, holds no credentials."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from crawl2chat.core.log import copy_masked, log, log_to_folder

URL = "https://jane:swordfish@host/a.jsonl?token=abcdef"


@pytest.fixture
def written(tmp_path: Path) -> Iterator[Path]:
    level = log.level
    log.setLevel(logging.DEBUG)
    log_to_folder(tmp_path)
    yield tmp_path / "crawl2chat.log"
    handler = log.handlers[-1]
    log.removeHandler(handler)
    handler.close()
    log.setLevel(level)


def test_messages_arguments_and_tracebacks_are_masked(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUCKET_SECRET_KEY", "wJalr/XUt+nFEMI")
    log.info("reading %s with %d attempts", URL, 3)
    log.info(f"the key is wJalr/XUt+nFEMI, in a query wJalr%2FXUt%2BnFEMI; 100 % of {URL}")
    try:
        raise ConnectionError(f"no answer from {URL}")
    except ConnectionError as error:
        log.debug("", exc_info=error)
    text = written.read_text()
    assert "reading https://***@host/a.jsonl?token=*** with 3 attempts" in text
    assert "ConnectionError: no answer from https://***@host" in text and "100 % of" in text
    assert not [one for one in ("swordfish", "abcdef", "wJalr", "jane") if one in text]


def test_the_traceback_that_ends_the_program_is_masked() -> None:
    code = "import sys; from crawl2chat.core.log import log_to_terminal; log_to_terminal(); raise OSError(sys.argv[1])"
    done = subprocess.run([sys.executable, "-c", code, URL], capture_output=True, text=True)
    assert done.returncode == 1 and "OSError: https://***@host" in done.stderr and "swordfish" not in done.stderr


def test_a_copied_log_keeps_every_other_byte(tmp_path: Path) -> None:
    given = b"\xff\x00 \xc3\xbc r\r\nno newline at the end "
    (tmp_path / "a").write_bytes(given + URL.encode())
    copy_masked(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (tmp_path / "b").read_bytes() == given + b"https://***@host/a.jsonl?token=***"
