"""GGUF files read and written with the `gguf` package; what is wrong with one is named with the file.

A GGUF is plain data, unlike a pickle: a header, metadata by key, tensors by name, each in an encoding of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np

from ..core.errors import InputError

MAGIC = b"GGUF"
Scalar = str | bool | int | float
FAULTS = (ValueError, LookupError, OverflowError, TypeError, MemoryError)  # what the reader raises at broken bytes


@dataclass(frozen=True)
class Encoded:
    """A tensor as it stands in the file; rows first, as in torch."""

    data: np.ndarray
    kind: gguf.GGMLQuantizationType


class GgufFile:
    """A file opened for reading: metadata as Python values, the tensors' shapes, and tensors as float32 one by one."""

    def __init__(self, path: Path) -> None:
        """Raises InputError for what is no GGUF, is cut short, or has a tensor of an encoding that is not known."""
        self.path = path
        self._reader = _opened(path)
        try:
            fields = {name: one for name, one in self._reader.fields.items() if not name.startswith("GGUF.")}
            self.metadata: dict[str, Any] = {name: _plain(one.contents()) for name, one in fields.items()}
        except FAULTS as error:
            raise _broken(path, error) from error
        self._tensors = {one.name: one for one in self._reader.tensors}
        self.shapes = {name: tuple(reversed(one.shape.tolist())) for name, one in self._tensors.items()}
        if self.metadata.get("split.count", 1) > 1:
            raise InputError(
                f"{path} is one of {self.metadata['split.count']} parts of a model",
                "join them: llama-gguf-split --merge FIRST_PART WHOLE",
            )

    def kind(self, name: str) -> str:
        """A tensor's encoding, as Q8_0."""
        return self._tensors[name].tensor_type.name

    def tensor(self, name: str) -> np.ndarray:
        """The values of a tensor, float32. Raises InputError for an encoding without a decoder."""
        found = self._tensors[name]
        try:
            values = gguf.dequantize(found.data, found.tensor_type)
        except NotImplementedError as error:
            raise InputError(
                f"{self.path}: {name} is of the type {found.tensor_type.name}, for which there is no decoder here",
                "take a file in F16, BF16, Q8_0, Q4_K_M or another usual type",
            ) from error
        return np.array(values, np.float32).reshape(self.shapes[name])


def write_gguf(
    path: Path, architecture: str, metadata: Mapping[str, Scalar | list[Any]], tensors: Mapping[str, Encoded]
) -> None:
    """Write a whole file at `path`, which must be atomic_path's. Whole numbers are written as uint32, others as
    float32; lists need one type of value."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in metadata.items():
        if isinstance(value, list):
            writer.add_array(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        elif isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        else:
            writer.add_float32(key, value)
    for name, one in tensors.items():
        writer.add_tensor(name, one.data, raw_dtype=one.kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def is_gguf(path: Path) -> bool:
    """Whether a file begins as one."""
    try:
        with path.open("rb") as opened:
            return opened.read(4) == MAGIC
    except OSError:
        return False


def _opened(path: Path) -> gguf.GGUFReader:
    if not path.is_file():
        raise InputError(f"no file at {path}", "give a .gguf file")
    if not is_gguf(path):
        raise InputError(f"{path} is no GGUF file: it does not begin with GGUF", "give a .gguf file")
    try:
        reader = gguf.GGUFReader(path)
    except FAULTS as error:
        if "GGMLQuantizationType" in str(error):  # "np.uint32(999) is not a valid GGMLQuantizationType"
            raise InputError(
                f"{path}: a tensor has the encoding {re.findall(r'[0-9]+', str(error))[-1]}, which is not known here",
                "take a file in F16, BF16, Q8_0, Q4_K_M or another usual type",
            ) from error
        raise _broken(path, error) from error
    if reader.byte_order != "I":
        raise InputError(f"{path} is written for machines of the other byte order", "convert it: gguf-convert-endian")
    return reader


def _broken(path: Path, error: BaseException) -> InputError:
    return InputError(f"{path} is broken or cut short: {error!r}", "fetch the file again")


def _plain(value: Any) -> Any:
    """float32 as the shortest decimal that gives it: 1e-05, not 9.999999747378752e-06."""
    return float(str(np.float32(value))) if isinstance(value, float) else value
