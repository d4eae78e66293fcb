"""The one logger, `crawl2chat`: warnings and above on the terminal, everything in the run's logs/crawl2chat.log.

Nothing leaves it with credentials in it (credentials.py), by a message or by a traceback; nor does the traceback of an
error that ends the program.
"""

from __future__ import annotations

import logging
import shutil
import sys
import traceback
from pathlib import Path
from types import TracebackType

from .credentials import masked
from .errors import Crawl2ChatError
from .remote_path import RemotePath


class StoredLog(logging.StreamHandler):
    """A log in an object store: put now and then, and by `end_logs`."""

    def __init__(self, path: RemotePath) -> None:
        super().__init__(path.open("a", encoding="utf-8"))


class Mask(logging.Filter):
    """Takes the credentials out of what a record says, whoever writes it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = masked(record.getMessage()), None
        if record.exc_info and record.exc_info[0] is not None:
            record.exc_text = masked("".join(traceback.format_exception(*record.exc_info)).rstrip("\n"))
        return True


class LogFile(logging.FileHandler):
    """A file whose disk may be full: the terminal has what matters, and not a traceback for each line that is lost."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


log = logging.getLogger("crawl2chat")
log.addFilter(Mask())


def log_to_terminal(verbose: bool = False) -> None:
    """Messages on standard error: warnings, or everything with `verbose`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.DEBUG if verbose else logging.WARNING)
    handler.setFormatter(logging.Formatter("crawl2chat: %(message)s"))
    for old in [h for h in log.handlers if not isinstance(h, logging.FileHandler | StoredLog)]:
        log.removeHandler(old)
    log.addHandler(handler)
    log.setLevel(logging.DEBUG)
    log.propagate = False
    sys.excepthook = _told_masked


def log_to_folder(folder: Path) -> None:
    """Everything into folder/crawl2chat.log as well, appended."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "crawl2chat.log"
    handler = StoredLog(path) if isinstance(path, RemotePath) else LogFile(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    log.addHandler(handler)


def end_logs() -> None:
    """Put the logs in object stores; nothing is added to them afterwards. While Python ends it would be too late."""
    for handler in [one for one in log.handlers if isinstance(one, StoredLog)]:
        log.removeHandler(handler)
        try:
            handler.stream.close()
        except (OSError, Crawl2ChatError) as failure:
            log.warning("the log is not whole: %s", failure)


def copy_masked(source: str, target: str) -> None:
    """Copy a log of another program, as Ray's, without the credentials that it tells."""
    with Path(source).open("rb") as lines, Path(target).open("wb") as out:
        for line in lines:  # latin-1 gives every byte back
            text = line.decode("latin-1")
            out.write(line if (shown := masked(text)) == text else shown.encode("latin-1"))
    shutil.copystat(source, target)


def _told_masked(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    sys.stderr.write(masked("".join(traceback.format_exception(kind, error, trace))))
