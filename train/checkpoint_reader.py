"""DCP's checkpoints, read without running what stands in them.

DCP describes a checkpoint's files in `.metadata`, a pickle, and keeps the optimizer's settings as pickles inside the
files of tensors. Its own reader gives both to `pickle`, which calls whatever they name: a checkpoint from elsewhere
could run any code. Here `.metadata` may name the classes that DCP writes into it and nothing else, what is no tensor is
read by torch with `weights_only`, as DCP reads the tensors, and no file outside the checkpoint's folder is opened.
"""

from __future__ import annotations

import io
import os
import pickle
from pathlib import Path, PurePath
from typing import Any

import torch
from torch.distributed.checkpoint import filesystem as dcp_files
from torch.distributed.checkpoint import metadata as dcp
from torch.distributed.checkpoint import state_dict_loader
from torch.distributed.checkpoint._traverse import set_element
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.planner import ReadItem

from ..core.errors import InputError

DESCRIPTION = ".metadata"
FIX = "take a checkpoint that training wrote"


def _place(*parts: str) -> str:
    """Stands for pathlib's paths: of the folder that DCP wrote to, which may be anywhere else by now."""
    return "/".join(parts)


NAMED: dict[tuple[str, str], Any] = {
    **{
        (dcp.__name__, name): getattr(dcp, name)
        for name in (
            "Metadata", "MetadataIndex", "StorageMeta", "BytesStorageMetadata", "TensorStorageMetadata",
            "ChunkStorageMetadata", "TensorProperties", "_MEM_FORMAT_ENCODING",
        )
    },
    (dcp_files.__name__, "_StorageInfo"): dcp_files._StorageInfo,
    ("torch", "Size"): torch.Size,
    ("torch.serialization", "_get_layout"): torch.serialization._get_layout,
    ("pathlib", "PosixPath"): _place,
    ("pathlib._local", "PosixPath"): _place,  # of Python 3.13
}  # fmt: skip


def read_into(state: dict[str, Any], checkpoint: Path, no_dist: bool) -> None:
    """Put what a checkpoint holds of `state` into it, in place, resharded as DCP does it.

    Raises InputError for a checkpoint that names what only code could need, CheckpointException as DCP does.
    """
    try:
        state_dict_loader.load(state, storage_reader=PlainReader(checkpoint), planner=PlainPlanner(), no_dist=no_dist)
    except CheckpointException as failure:
        refused = [one for one, _ in failure.failures.values() if isinstance(one, pickle.UnpicklingError)]
        if refused:
            raise InputError(
                f"checkpoint {checkpoint} holds more than tensors and numbers: {refused[0]}", FIX
            ) from None
        raise


class PlainReader(FileSystemReader):
    """DCP's reader, with the description already read."""

    def __init__(self, checkpoint: Path) -> None:
        """Raises InputError when the description is broken, or names what does not belong there."""
        super().__init__(os.fspath(checkpoint))
        self._description = read_description(checkpoint / DESCRIPTION)

    def read_metadata(self, *args: Any, **kwargs: Any) -> dcp.Metadata:
        self._description.storage_meta = dcp.StorageMeta(load_id=self.load_id)
        return self._description


class PlainPlanner(DefaultLoadPlanner):
    """DCP's planner; what is no tensor is read with `weights_only` too."""

    def load_bytes(self, read_item: ReadItem, value: io.BytesIO) -> None:
        assert self.flatten_state_dict, "DCP's default"
        path = self.mappings[read_item.dest_index.fqn]
        set_element(self.original_state_dict, path, torch.load(value, weights_only=True))


def read_description(path: Path) -> dcp.Metadata:
    """What `.metadata` says. Raises InputError, without having called anything, when it names what it should not."""
    try:
        with path.open("rb") as file:
            found = _Unpickler(file).load()
        places = {one.relative_path for one in found.storage_data.values()}
    except Exception as error:  # a pickle with wrong bytes raises nearly anything
        raise InputError(f"{path} is no description of a checkpoint: {error}", FIX) from error
    outside = sorted(place for place in places if PurePath(place).name != place)
    if outside:
        raise InputError(f"{path} leads to {outside[0]!r}, outside the checkpoint's folder", FIX)
    return found


class _Unpickler(pickle.Unpickler):
    """Knows data, DCP's classes and torch's types of numbers by their names, and no other."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        if (module, name) not in NAMED:
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no checkpoint of ours does")
        return NAMED[module, name]
