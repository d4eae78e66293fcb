"""The one logger, `crawl2chat`: warnings and above on the terminal, everything in the run's logs/crawl2chat.log."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

log = logging.getLogger("crawl2chat")


def log_to_terminal(verbose: bool = False) -> None:
    """Messages on standard error: warnings, or everything with `verbose`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING)
    handler.setFormatter(logging.Formatter("crawl2chat: %(message)s"))
    for old in [h for h in log.handlers if not isinstance(h, logging.FileHandler)]:
        log.removeHandler(old)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False


def log_to_folder(folder: Path) -> None:
    """Everything into folder/crawl2chat.log as well, appended."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(folder / "crawl2chat.log", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    log.addHandler(handler)
