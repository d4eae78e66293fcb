"""Are the shards on this machine's disk those that the manifest describes? Once a run and machine, beside the training.

    verified/MACHINE-N.jsonl    {path, sha256, bytes, mtime_ns}: a line a shard that was read whole and found right

Training begins at once, however many tokens there are: the shards are read on a few threads meanwhile, shared out among
the machine's ranks. No checkpoint is written before all are found right, so that nothing that a corrupt shard has
taught outlives the run. A shard with a line of its size and time is not read again.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Lock

import torch

from ..core.errors import ContractError, Crawl2ChatError, InputError, StoreError
from ..core.files import sha256_file
from ..core.log import log
from .world import World

FOLDER = "verified"
LOOK_EVERY = 0.1  # seconds, where the ranks wait for each other's shards
Known = tuple[str, str, int, int]


class Verifier:
    """Begins to read this rank's share of its machine's shards. `digests`: SHA-256 in hex by path.

    A rank's share depends on `digests` and its place among the machine's ranks alone, not on what others have read by
    now: so every shard is somebody's. Shards that come late are added (train/early.py).
    """

    def __init__(self, folder: Path, digests: Mapping[Path, str], world: World, threads: int = 1) -> None:
        self._machine = socket.gethostname()
        here = [rank for rank, name in enumerate(world.gather(self._machine)) if name == self._machine]
        self._place, self._ranks = here.index(world.rank), len(here)
        self._world, self._folder, self._at_once = world, folder, max(1, threads)
        self._digests: dict[Path, str] = {}
        self._record, self._lock = folder / FOLDER / f"{self._machine}-{self._place}.jsonl", Lock()
        self._pools: list[ThreadPoolExecutor] = []
        self._found: list[Future[None]] = []
        self._all_right = True
        self.add(digests)

    def add(self, digests: Mapping[Path, str]) -> None:
        """Read these too. All ranks add the same between two steps; what was added before is passed over."""
        new = {path: digest for path, digest in digests.items() if path not in self._digests}
        if not new:
            return
        share, known = sorted(new)[self._place :: self._ranks], _read(self._folder, self._machine)
        todo = [path for path in share if _state(path, new[path]) not in known]
        self._digests |= new
        self._all_right = False
        threads = ThreadPoolExecutor(self._at_once, thread_name_prefix="verify")
        self._found += [threads.submit(self._check, path, new[path]) for path in todo]
        threads.shutdown(wait=False)
        self._pools.append(threads)

    def all_right(self, wait: bool = False) -> bool:
        """Whether the shards of all ranks are found right by now; the same on every rank, which all must ask.

        Raises, on every rank, ContractError for a shard of another digest, InputError for one that cannot be read.
        With `wait` the ranks look again and again, as none of them could wait for long within a collective.
        """
        while not self._all_right:
            left = sum(not future.done() for future in self._found)  # before the errors: these are of all that is done
            self._world.agree(self.error())
            self._all_right = not float(self._world.sum(torch.tensor(float(left), device=self._world.device)))
            if not wait:
                break
            if not self._all_right:
                time.sleep(LOOK_EVERY)
        return self._all_right

    def error(self) -> Crawl2ChatError | None:
        """The first fault of this rank's shards that is known by now."""
        for future in self._found:
            if future.done() and not future.cancelled() and (fault := future.exception()) is not None:
                self.close()
                return _ours(fault)
        return None

    def search(self) -> Crawl2ChatError | None:
        """Read every shard, whoever's it is, up to the first fault: for a rank that met a wrong token, and is alone."""
        self.close()
        for path in sorted(self._digests):
            try:
                _compare(path, self._digests[path])
            except (Crawl2ChatError, OSError) as fault:
                return _ours(fault)
        return None

    def close(self) -> None:
        """Read no more than what is being read."""
        for threads in self._pools:
            threads.shutdown(wait=False, cancel_futures=True)

    def _check(self, path: Path, expected: str) -> None:
        state = _state(path, expected)
        _compare(path, expected)
        line = json.dumps(dict(zip(("path", "sha256", "bytes", "mtime_ns"), state, strict=True))) + "\n"
        try:
            with self._lock:
                self._record.parent.mkdir(parents=True, exist_ok=True)
                with self._record.open("a", encoding="utf-8") as file:
                    file.write(line)
        except (OSError, StoreError) as failure:  # it is right all the same, and is read again at the next start
            log.warning("%s cannot be written: %s", self._record, failure)


def _compare(path: Path, expected: str) -> None:
    found = sha256_file(path)
    if found != expected:
        raise ContractError(
            f"{path} is corrupt: its SHA-256 is {found}, its manifest has {expected}",
            "remove that copy, and start again: it is made anew"
            if path.parent.name == expected  # of a machine's cache (train/shard_cache.py)
            else "remove the stage `shards` of the run, and run it again",
        )


def _ours(fault: BaseException) -> Crawl2ChatError:
    return fault if isinstance(fault, Crawl2ChatError) else InputError(f"a shard cannot be read: {fault}")


def _state(path: Path, digest: str) -> Known:
    stat = path.stat()
    return str(path), digest, stat.st_size, stat.st_mtime_ns


def _read(folder: Path, machine: str) -> set[Known]:
    """What this machine's ranks have found right; a line that a killed writer left unfinished says nothing."""
    known: set[Known] = set()
    for path in sorted((folder / FOLDER).glob(f"{machine}-*.jsonl")):
        for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
            with suppress(ValueError):  # the next writer went on in the unfinished line
                row = json.loads(line)
                known.add((row["path"], row["sha256"], row["bytes"], row["mtime_ns"]))
    return known
