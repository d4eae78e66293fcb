"""Training shards on this machine's own disk, where storage lies across a network: copied once, read at random there.

    FOLDER/lock             held while room is made and shared out
    FOLDER/late             held by the rank that brings what came late (train/early.py)
    FOLDER/users/ID.json    digests that a training at work needs; locked while it lives: a killed one needs none
    FOLDER/SHA256/NAME      a whole shard, its digest compared as it was copied; its folder's time: when it was wanted

Shards are known by their digest: runs of the same tokens share them, and workers of a machine do. No more than
`max_bytes` lie there. What nobody at work needs goes when others want its room, the longest unwanted first; shards for
which there is no room are read from storage, and the log says how many.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ContractError, Crawl2ChatError, InputError
from ..core.log import log
from .early import OpenEarly
from .mixture import OpenRows

if TYPE_CHECKING:
    from ..core.settings_training import ShardCache as Settings
    from .job import Job
    from .world import World

CHUNK = 8 << 20
COPIES = 4  # at a time
USERS, LOCK, LATE = "users", "lock", "late"
FIX = "lower resources.shard_cache.max_bytes, or name a folder that is writable and on a larger disk"


@contextmanager
def on_this_machine(job: Job, world: World) -> Iterator[Job]:
    """The job with its shards on this machine's disk, where it has a cache; the machine's first rank fetches them.

    Raises, on every rank, ContractError for a shard of another digest, InputError for a disk that is full.
    """
    if job.shard_cache is None:
        yield job
        return
    machine = socket.gethostname()
    places: dict[Path, Path] = {}
    error: Crawl2ChatError | None = None
    with ExitStack() as stack:
        if world.gather(machine).index(machine) == world.rank:
            folder = Path(job.shard_cache.folder)
            try:
                places = stack.enter_context(ShardCache(folder, job.shard_cache.max_bytes)).bring(job.shards)
            except Crawl2ChatError as fault:
                error = fault
            except OSError as fault:
                error = _unusable(folder, fault)
        world.agree(error)
        places = next(found for name, found in world.gather((machine, places)) if name == machine)
        assert isinstance(job.open_data, OpenRows | OpenEarly), "only rows of token shards are cached"
        shards = {places.get(path, path): digest for path, digest in job.shards.items()}
        yield replace(job, open_data=job.open_data.at(places), shards=shards)


def brought(settings: Settings, digests: Mapping[Path, str]) -> tuple[ShardCache, dict[Path, Path]]:
    """Shards that came late, brought by a rank for itself: a machine's ranks one after the other, so that the first
    copies, and the others find them here. What is returned first holds them here as long as it lives.

    Raises as `on_this_machine` does, but on this rank.
    """
    folder = Path(settings.folder)
    cache = ShardCache(folder, settings.max_bytes)
    try:
        with (folder / LATE).open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            return cache, cache.__enter__().bring(digests)
    except OSError as fault:
        raise _unusable(folder, fault) from fault


def _unusable(folder: Path, fault: OSError) -> InputError:
    return InputError(f"{folder}: {fault.strerror or fault}", FIX)


@dataclass(frozen=True)
class _Shard:
    path: Path
    digest: str
    size: int


class ShardCache:
    """A folder of shards. Within `with`, what `bring` has brought stays."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self._max, self._id = folder, max_bytes, uuid.uuid4().hex[:12]
        self._user = folder / USERS / f"{self._id}.json"

    def __enter__(self) -> ShardCache:
        self._user.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():  # else another might take it for that of a killed one, before it is locked
            self._handle = self._user.open("w", encoding="utf-8")
            fcntl.flock(self._handle, fcntl.LOCK_EX)
        return self

    def __exit__(self, *error: object) -> None:
        self._user.unlink(missing_ok=True)
        self._handle.close()

    def bring(self, digests: Mapping[Path, str]) -> dict[Path, Path]:
        """Copy the shards (path in storage: SHA-256) that are not here and that there is room for; where they are now.

        Raises ContractError for one that has another digest in storage, OSError for a disk that is full.
        """
        wanted = [_Shard(path, digests[path], path.stat().st_size) for path in sorted(digests)]
        with self._alone():
            json.dump(sorted(digests.values()), self._handle)
            self._handle.flush()
            missing = [one for one in wanted if not self._place(one).is_file()]
            chosen = self._make_room(missing)
            for one in chosen:
                self._reserve(one)
        if len(chosen) < len(missing):
            log.warning(
                "%s has no room for %d of %d shards, which are read from storage; %s",
                self.folder, len(missing) - len(chosen), len(wanted), "raise resources.shard_cache.max_bytes",
            )  # fmt: skip
        try:
            with ThreadPoolExecutor(COPIES, thread_name_prefix="cache") as threads:
                list(threads.map(self._copy, chosen))
        finally:
            for one in chosen:
                self._partial(one).unlink(missing_ok=True)
        here = [one for one in wanted if self._place(one).is_file()]
        for one in here:
            os.utime(self._place(one).parent)
        return {one.path: self._place(one) for one in here}

    def _place(self, shard: _Shard) -> Path:
        return self.folder / shard.digest / shard.path.name

    def _partial(self, shard: _Shard) -> Path:
        place = self._place(shard)
        return place.with_name(f".{place.name}.{self._id}.partial")

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with (self.folder / LOCK).open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _make_room(self, missing: list[_Shard]) -> list[_Shard]:
        """Remove what is not needed for it, and say which shards then fit."""
        users, needed = self._at_work()
        folders = [path for path in self.folder.iterdir() if path.is_dir() and path.name != USERS]
        for partial in (path for folder in folders for path in folder.glob(".*.partial")):
            if partial.name.split(".")[-2] not in users:  # of a copy that was killed
                partial.unlink(missing_ok=True)
        sizes = {folder: sum(path.stat().st_size for path in folder.iterdir()) for folder in folders}
        free = self._max - sum(sizes.values())
        unneeded = [folder for folder in folders if folder.name not in needed]
        for folder in sorted(unneeded, key=lambda folder: folder.stat().st_mtime):
            if free >= sum(one.size for one in missing):
                break
            shutil.rmtree(folder)
            free += sizes[folder]
        chosen = []
        for one in missing:
            if one.size <= free:
                chosen.append(one)
                free -= one.size
        return chosen

    def _at_work(self) -> tuple[set[str], set[str]]:
        """Trainings that live, and the digests that they need."""
        users, needed = set(), set()
        for path in (self.folder / USERS).glob("*.json"):
            if path != self._user and not _locked(path):
                path.unlink(missing_ok=True)
                continue
            with suppress(FileNotFoundError, ValueError):  # it has just ended; or it lives, and has not asked yet
                users.add(path.stem)
                needed |= set(json.loads(path.read_text(encoding="utf-8")))
        return users, needed

    def _reserve(self, shard: _Shard) -> None:
        """Take the room on the disk now: a disk that is too small is known before hours of copying."""
        partial = self._partial(shard)
        partial.parent.mkdir(exist_ok=True)
        with partial.open("wb") as handle:
            if shard.size:
                os.posix_fallocate(handle.fileno(), 0, shard.size)

    def _copy(self, shard: _Shard) -> None:
        found, partial = hashlib.sha256(), self._partial(shard)
        with shard.path.open("rb") as source, partial.open("r+b") as target:
            while chunk := source.read(CHUNK):
                found.update(chunk)
                target.write(chunk)
            target.flush()
            os.fsync(target.fileno())
        if found.hexdigest() != shard.digest:
            raise ContractError(
                f"{shard.path} is corrupt: its SHA-256 is {found.hexdigest()}, its manifest has {shard.digest}",
                "remove the stage `shards` of the run, and run it again",
            )
        partial.replace(self._place(shard))


def _locked(path: Path) -> bool:
    try:
        with path.open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        return False
    return False
