"""Are the shards on this machine's disk those that the manifest describes? Once a run and machine, beside the training.

    verified/MACHINE-N.jsonl    {path, sha256, bytes, mtime_ns}: a line a shard that was read whole and found right

Training begins at once, however many tokens there are: the shards are read on a few threads meanwhile, shared out among
the machine's ranks. No checkpoint is written before all are found right, so that nothing that a corrupt shard has
taught outlives the run. A shard with a line of its size and time is not read again.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Lock

from ..core.errors import ContractError, Crawl2ChatError, InputError
from ..core.files import sha256_file
from .world import World

FOLDER = "verified"
Known = tuple[str, str, int, int]


class Verifier:
    """Begins to read this rank's share of its machine's shards. `digests`: SHA-256 in hex by path."""

    def __init__(self, folder: Path, digests: Mapping[Path, str], world: World, threads: int = 1) -> None:
        machine = socket.gethostname()
        here = [rank for rank, name in enumerate(world.gather(machine)) if name == machine]
        mine, known = here.index(world.rank), _read(folder, machine)
        self._record, self._lock = folder / FOLDER / f"{machine}-{mine}.jsonl", Lock()
        self._threads = ThreadPoolExecutor(max(1, threads), thread_name_prefix="verify")
        todo = [path for path in sorted(digests) if _state(path, digests[path]) not in known]
        self._found: list[Future[None]] = [
            self._threads.submit(self._check, path, digests[path]) for path in todo[mine :: len(here)]
        ]
        self._threads.shutdown(wait=False)

    def error(self, wait: bool = False) -> Crawl2ChatError | None:
        """The first fault that is known by now, or of all shards when waited for. ContractError: another digest."""
        for future in self._found:
            if wait or future.done():
                fault = future.exception()
                if fault is not None:
                    self.close()
                    return (
                        fault if isinstance(fault, Crawl2ChatError) else InputError(f"a shard cannot be read: {fault}")
                    )
        return None

    def close(self) -> None:
        """Read no more than what is being read."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _check(self, path: Path, expected: str) -> None:
        state = _state(path, expected)
        found = sha256_file(path)
        if found != expected:
            raise ContractError(
                f"{path} is corrupt: its SHA-256 is {found}, its manifest has {expected}",
                "remove the stage `shards` of the run, and run it again",
            )
        with self._lock:
            self._record.parent.mkdir(parents=True, exist_ok=True)
            with self._record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(dict(zip(("path", "sha256", "bytes", "mtime_ns"), state, strict=True))) + "\n")


def _state(path: Path, digest: str) -> Known:
    stat = path.stat()
    return str(path), digest, stat.st_size, stat.st_mtime_ns


def _read(folder: Path, machine: str) -> set[Known]:
    """What this machine's ranks have found right; a last line that a killed writer left unfinished is none."""
    known: set[Known] = set()
    for path in sorted((folder / FOLDER).glob(f"{machine}-*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            if line.endswith("}"):
                row = json.loads(line)
                known.add((row["path"], row["sha256"], row["bytes"], row["mtime_ns"]))
    return known
