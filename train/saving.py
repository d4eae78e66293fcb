"""Writing checkpoints beside the training: the state is copied to memory, and a thread writes the copy.

All ranks write into `.step_000100.ATTEMPT.writing`, each takes the SHA-256 of its own files; when all are done, rank 0
adds meta.json and renames the folder. In an object store each rank puts its files at the folder's own name from its
machine's disk, and rank 0 puts meta.json last: without it there is no checkpoint.

The threads of the ranks talk over a process group of their own, so that what they have to say never stands between two
words of the training. A checkpoint begins when the one before is in place.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch.distributed.checkpoint import state_dict_saver
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.staging import DefaultStager, StagingOptions

from ..core.disk import cannot_write, disk_of, is_full
from ..core.errors import StageError
from ..core.files import sha256_file, write_json
from ..core.log import log
from ..core.remote_path import RemotePath
from .checkpoints import META, Meta, prune, quiet, state_of, step_name
from .storage import sync_folder
from .world import World
from .zero import ZeroOptimizer

Optimizer = torch.optim.Optimizer | ZeroOptimizer


def save(
    folder: Path, model: torch.nn.Module, optimizer: Optimizer, meta: Meta, world: World, attempt: str, keep: int
) -> Path:
    """Write one checkpoint, and wait for it: its folder, below `folder`, which must be there."""
    saver = Saver(folder, world, attempt, keep)
    saver.save(model, optimizer, meta)
    path = saver.wait()
    saver.close()
    assert path is not None, "it has been waited for"
    return path


class Saver:
    """Saves the checkpoints of one start of the workers. All ranks call the same methods in the same order.

    `attempt` is the same on all ranks and new in every start of the workers: two starts never write to one folder. Of
    the complete checkpoints the newest `keep` stay, and those whose step is a multiple of `keep_every`.
    """

    def __init__(
        self, folder: Path, world: World, attempt: str, keep: int, keep_every: int | None = None, beside: bool = True
    ) -> None:
        self._folder, self._world, self._attempt = folder, world, attempt
        self._keep, self._keep_every, self._beside = keep, keep_every, beside
        self._side = world.side_channel()
        self._copies = DefaultStager(
            StagingOptions(
                use_pinned_memory=world.device.type == "cuda",
                use_shared_memory=False,
                use_async_staging=False,
                use_non_blocking_copy=world.device.type == "cuda",
            )
        )
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[Path] | None = None

    def save(self, model: torch.nn.Module, optimizer: Optimizer, meta: Meta) -> None:
        """Begin to write checkpoint `meta.step`. The one before must be in place: call `wait` first."""
        assert self._pending is None, "one checkpoint at a time"
        with quiet():
            state = cast(dict[str, Any], self._copies.stage(state_of(model, optimizer)))
        self._pending = self._thread.submit(self._write, state, meta)
        if not self._beside:
            self._world.agree(self._pending.exception())

    def poll(self) -> Path | None:
        """The checkpoint that has come into place since the last call, on all ranks at the same call."""
        if self._pending is None:
            return None
        done = torch.tensor(float(self._pending.done()), device=self._world.device)
        return self.wait() if float(self._world.sum(done)) == self._world.size else None

    def wait(self) -> Path | None:
        """The same, waited for. Raises StageError on all ranks when it could not be written."""
        if self._pending is None:
            return None
        pending, self._pending = self._pending, None
        self._world.agree(pending.exception())
        return pending.result()

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._copies.close()
        self._side.close()

    def _write(self, state: dict[str, Any], meta: Meta) -> Path:
        """On the thread: write, rename, prune. Raises the same StageError on every rank."""
        target = self._folder / step_name(meta.step)
        partial = disk_of(self._folder) / f".{target.name}.{self._attempt}.writing"
        try:
            self._together(lambda: self._write_state(state, partial))
            files = self._together(lambda: _describe(partial, self._side.rank))
            whole = replace(meta, files={name: one for part in files for name, one in sorted(part.items())})
            if isinstance(target, RemotePath):
                self._together(lambda: target.remove_below() if self._side.rank == 0 else None)  # a broken one
                self._together(lambda: _put_own(partial, self._side.rank, target))
            self._together(lambda: self._put(whole, partial, target) if self._side.rank == 0 else None)
        except StageError:
            if self._side.rank == 0:
                shutil.rmtree(partial, ignore_errors=True)
            raise
        finally:
            if isinstance(target, RemotePath):
                shutil.rmtree(partial, ignore_errors=True)  # every rank's own
        return target

    def _together(self, work: Callable[[], Any]) -> list[Any]:
        """What the work gives on every rank; a rank that fails fails all of them, and none waits for it."""
        found: Any = None
        error: StageError | None = None
        try:
            found = work()
        except (Exception, CheckpointException) as failure:
            error = _explain(failure, self._folder)
        answers = self._side.gather((found, error))
        if error := next((one for _, one in answers if one is not None), None):
            raise error
        return [one for one, _ in answers]

    def _write_state(self, state: dict[str, Any], partial: Path) -> None:
        with quiet():
            state_dict_saver.save(
                state, checkpoint_id=partial, process_group=self._side.group, no_dist=not self._side.distributed
            )

    def _put(self, meta: Meta, partial: Path, target: Path) -> None:
        """Make what was written a checkpoint."""
        if isinstance(target, RemotePath):
            write_json(target / META, asdict(meta))
            prune(self._folder, self._keep, self._keep_every, newest=target)
            return
        write_json(partial / META, asdict(meta))
        if target.exists():  # a broken one: complete ones are resumed from, not written again
            shutil.rmtree(target)
        partial.rename(target)
        sync_folder(self._folder)
        prune(self._folder, self._keep, self._keep_every, newest=target)


def _describe(partial: Path, rank: int) -> dict[str, dict[str, Any]]:
    """{name: {bytes, sha256}} of the files that this rank has written: `__RANK_N.distcp`, rank 0 also `.metadata`."""
    mine = _own(partial, rank)
    return {path.name: {"bytes": path.stat().st_size, "sha256": sha256_file(path)} for path in mine}


def _own(partial: Path, rank: int) -> list[Path]:
    mine = [path for path in sorted(partial.iterdir()) if path.name.startswith(f"__{rank}_")]
    return [*mine, partial / ".metadata"] if rank == 0 else mine


def _put_own(partial: Path, rank: int, target: RemotePath) -> None:
    from ..core.local_copies import adopt

    for path in _own(partial, rank):
        adopt(path, target / path.name, target.store.put(path, (target / path.name).key))


def _explain(failure: BaseException, folder: Path) -> StageError:
    """What went wrong, in words: DCP hides a full disk in an exception of several ranks' tracebacks."""
    causes = [failure]
    if isinstance(failure, CheckpointException):
        causes = [cause for cause, _ in failure.failures.values()]
    log.warning("a checkpoint could not be written to %s", folder, exc_info=failure)
    # inline_container is torch's word for a file that took less than it was given
    full = any(is_full(one) or "inline_container" in str(one) for one in causes)
    return cannot_write("no checkpoint", folder, causes, full)
