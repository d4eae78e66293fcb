"""A small copy of Common Crawl made of real WARC files, and a web server with ranges that fails when told to.

crawl-data/CC-MAIN-2024-10/{warc,wet,cc-index-table}.paths.gz
crawl-data/CC-MAIN-2024-10/segments/1.1/{warc/*.warc.gz,wet/*.warc.wet.gz}
cc-index/table/cc-main/warc/crawl=CC-MAIN-2024-10/subset=warc/*.parquet, with the real offsets
"""

from __future__ import annotations

import gzip
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pyarrow.parquet as pq
from fastwarc.warc import ArchiveIterator, WarcRecordType

CRAWL = "CC-MAIN-2024-10"
SEGMENT = f"crawl-data/{CRAWL}/segments/1.1"
INDEX = f"cc-index/table/cc-main/warc/crawl={CRAWL}/subset=warc"
WARCS = ("dolma-sample-0000.warc.gz", "dolma-sample-0001.warc.gz", "resiliparse-warcfile.warc.gz", "pywb-iana.warc.gz")


@dataclass(frozen=True)
class Fault:
    """How a request goes wrong: a status instead of the file, or the file's bytes cut off or delayed.

    The next `times` requests whose path holds `where` are answered so.
    """

    where: str
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None
    stall: float = 0.0
    ignore_range: bool = False
    times: int = 1


@dataclass(frozen=True)
class Request:
    path: str
    start: int
    stop: int
    status: int
    sent: int
    at: float


class MirrorServer:
    """Serves a folder on loopback. `requests` is what was asked; `faults` are used up in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    @contextmanager
    def running(self) -> Iterator[MirrorServer]:
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()

    def take_fault(self, path: str) -> Fault | None:
        with self._lock:
            for place, fault in enumerate(self.faults):
                if fault.where in path:
                    left = fault.times - 1
                    self.faults[place : place + 1] = [Fault(**{**vars(fault), "times": left})] if left else []
                    return fault
        return None

    def log(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)


class _Handler(BaseHTTPRequestHandler):
    def __init__(self, mirror: MirrorServer, *arguments: Any) -> None:
        self.mirror = mirror
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).lstrip("/")
        fault = self.mirror.take_fault(path)
        file = self.mirror.folder / path
        if fault is not None and fault.status:
            self._refuse(path, fault.status, fault.headers)
        elif not file.is_file():
            self._refuse(path, 404, {})
        else:
            self._send(path, file.read_bytes(), fault)

    def _refuse(self, path: str, status: int, headers: dict[str, str]) -> None:
        self.mirror.log(Request(path, 0, 0, status, 0, time.monotonic()))
        self.send_response(status)
        for name, value in {**headers, "Content-Length": "0"}.items():
            self.send_header(name, value)
        self.end_headers()

    def _send(self, path: str, data: bytes, fault: Fault | None) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if asked is None or (fault is not None and fault.ignore_range):
            start, stop, status = 0, len(data), 200
        else:
            start, stop, status = int(asked[1]), min(int(asked[2] or len(data)) + 1, len(data)), 206
        if start >= len(data) > 0:
            self._refuse(path, 416, {"Content-Range": f"bytes */{len(data)}"})
            return
        body = data[start:stop]
        sent = body if fault is None or fault.cut_after is None else body[: fault.cut_after]
        self.mirror.log(Request(path, start, stop, status, len(sent), time.monotonic()))
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(data)}")
        self.end_headers()
        self.wfile.write(sent)
        self.wfile.flush()
        if fault is not None and fault.stall:
            time.sleep(fault.stall)
        self.close_connection = True

    def log_message(self, format: str, *arguments: Any) -> None:
        pass


def build_mirror(folder: Path, samples: Path) -> None:
    """Copy the samples to where a crawl has them, and write listings and index."""
    warcs = [f"{SEGMENT}/warc/{name}" for name in WARCS]
    for path, name in zip(warcs, WARCS, strict=True):
        _write(folder / path, (samples / name).read_bytes())
    wet = f"{SEGMENT}/wet/cc_net-sample.warc.wet.gz"
    texts = re.split(rb"(?=^WARC/1\.0\n)", (samples / "cc_net-sample.warc.wet").read_bytes(), flags=re.MULTILINE)
    _write(folder / wet, b"".join(gzip.compress(text, mtime=0) for text in texts if text))
    rows = [row for path in warcs for row in _index_rows(folder, path)]
    index = [f"{INDEX}/part-{number}.gz.parquet" for number in range(2)]
    for number, path in enumerate(index):  # sorted by host in a real index: records of one file stand in both parts
        _write(folder / path, b"")
        pq.write_table(pa.Table.from_pylist(rows[number::2]), folder / path, row_group_size=16)
    other = INDEX.replace("subset=warc", "subset=crawldiagnostics") + "/part-0.gz.parquet"
    for name, paths in (("warc", warcs), ("wet", [wet]), ("cc-index-table", [other, *index])):
        _write(folder / f"crawl-data/{CRAWL}/{name}.paths.gz", gzip.compress("\n".join([*paths, ""]).encode()))


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _index_rows(folder: Path, path: str) -> Iterator[dict[str, Any]]:
    """Rows as the columnar index has them, by FastWARC. Languages: German for every third page, English for others."""
    with (folder / path).open("rb") as handle:
        found = [
            (record.stream_pos, record.record_type, record.headers.get("WARC-Target-URI"), record.http_headers)
            for record in ArchiveIterator(handle, parse_http=True)
        ]
    ends = [*(record[0] for record in found), (folder / path).stat().st_size]
    for number, ((offset, kind, url, http), (_, end)) in enumerate(zip(found, pairwise(ends), strict=True)):
        if kind != WarcRecordType.response or http is None or not url:
            continue
        url = url.strip("<>")
        yield {
            "url": url,
            "url_host_registered_domain": ".".join(urlsplit(url).hostname.split(".")[-2:]),
            "content_languages": "deu,eng" if number % 3 == 0 else "eng",
            "content_mime_detected": (http.get("Content-Type") or "").partition(";")[0].strip() or None,
            "fetch_status": http.status_code,
            "warc_filename": path,
            "warc_record_offset": offset,
            "warc_record_length": end - offset,
        }
