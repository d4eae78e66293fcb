"""Checkpoints that somebody else may have written: nothing that they name is called. DCP's own reader is the oracle."""

from __future__ import annotations

import io
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from crawl2chat.core.errors import InputError
from crawl2chat.core.files import sha256_file
from crawl2chat.train import checkpoints
from crawl2chat.train.checkpoint_reader import DESCRIPTION, read_description, read_into
from crawl2chat.train.job import Job
from crawl2chat.train.optimizer import make_optimizer
from crawl2chat.train.variant import PLAIN
from crawl2chat.train.worker import run_training
from crawl2chat.train.world import World
from torch.distributed.checkpoint import state_dict_loader
from torch.distributed.checkpoint.metadata import Metadata, MetadataIndex
from torch.utils._pytree import tree_leaves, tree_map

DATA = "__0_0.distcp"


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = str(witness)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.witness,)


@pytest.fixture
def checkpoint(job: Job) -> Path:
    run_training(job, World())
    found = checkpoints.newest(job.checkpoints)
    assert found is not None
    return found


def state_of(job: Job) -> tuple[Any, Any, dict[str, Any]]:
    """An untrained model, its optimizer with an empty state, and both as DCP takes them."""
    torch.manual_seed(0)
    model = PLAIN.make(job.model)
    optimizer = make_optimizer(model, job.optimizer)
    return model, optimizer, checkpoints.state_of(model, optimizer)


def vouch(checkpoint: Path) -> None:
    """Give meta.json the sizes and digests that the files have now: whoever plants a pickle does it too."""
    path = checkpoint / "meta.json"
    meta = json.loads(path.read_text())
    for name in meta["files"]:
        file = checkpoint / name
        meta["files"][name] = {"bytes": file.stat().st_size, "sha256": sha256_file(file)}
    path.write_text(json.dumps(meta))
    assert checkpoints.broken(checkpoint) is None


def describe(checkpoint: Path, change: Callable[[Metadata], None]) -> None:
    """Change `.metadata`, as DCP itself would write it."""
    found = read_description(checkpoint / DESCRIPTION)
    change(found)
    (checkpoint / DESCRIPTION).write_bytes(pickle.dumps(found))
    vouch(checkpoint)


def hostile_bytes(witness: Path) -> bytes:
    plain = pickle.dumps(Hostile(witness))
    pickle.loads(plain)  # it does what it is for
    witness.rmdir()
    return plain


def test_what_is_read_is_what_dcp_reads(job: Job, checkpoint: Path) -> None:
    ours, theirs = state_of(job)[2], state_of(job)[2]
    read_into(ours, checkpoint, no_dist=True)
    state_dict_loader.load(theirs, checkpoint_id=checkpoint, no_dist=True)
    same = tree_map(lambda a, b: torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b, ours, theirs)
    assert all(tree_leaves(same))
    assert ours["optimizer"]["state"], "moments are there"
    described, oracle = (
        read_description(checkpoint / DESCRIPTION),
        pickle.loads((checkpoint / DESCRIPTION).read_bytes()),
    )
    described.storage_meta = oracle.storage_meta = None  # where it was written to, which nobody asks
    assert described == oracle


def test_a_hostile_description_calls_nothing(checkpoint: Path, tmp_path: Path) -> None:
    witness = tmp_path / "called"
    (checkpoint / DESCRIPTION).write_bytes(hostile_bytes(witness))
    vouch(checkpoint)
    with pytest.raises(InputError, match="mkdir"):
        checkpoints.load_for_inference(checkpoint)
    assert not witness.exists()


def test_hostile_settings_of_the_optimizer_call_nothing(job: Job, checkpoint: Path, tmp_path: Path) -> None:
    """A pickle among the bytes of the tensors' file, where the description says that a setting stands."""
    witness, file = tmp_path / "called", checkpoint / DATA
    hostile_bytes(witness)
    planted = io.BytesIO()
    torch.save(Hostile(witness), planted)

    def lead_there(found: Metadata) -> None:
        index: MetadataIndex = next(one for one in found.storage_data if one.fqn.endswith(".weight_decay"))
        place = found.storage_data[index]
        place.offset, place.length = file.stat().st_size, len(planted.getvalue())

    describe(checkpoint, lead_there)
    with file.open("ab") as out:
        out.write(planted.getvalue())
    vouch(checkpoint)
    model, optimizer, _ = state_of(job)
    with pytest.raises(InputError, match="more than tensors and numbers"):
        checkpoints.load(checkpoint, model, optimizer, World())
    assert not witness.exists()


@pytest.mark.parametrize("place", ["../elsewhere", "/etc/hostname", "below/file"])
def test_no_file_outside_the_folder_is_opened(checkpoint: Path, place: str) -> None:
    def lead_away(found: Metadata) -> None:
        next(iter(found.storage_data.values())).relative_path = place

    with pytest.raises(InputError, match="outside the checkpoint's folder"):
        describe(checkpoint, lead_away)
        checkpoints.load_for_inference(checkpoint)


BROKEN = [b"", b"\x80\x04N.", b"not a pickle", b"cbuiltins\neval\n(S'1'\ntR.", b"cos\nsystem\n.", b"ctorch\nload\n."]


@pytest.mark.parametrize("content", BROKEN)
def test_what_is_no_description_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / DESCRIPTION).write_bytes(content)
    with pytest.raises(InputError, match="no description of a checkpoint"):
        read_description(tmp_path / DESCRIPTION)
