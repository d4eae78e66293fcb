"""Evaluation sets as files: the items of .jsonl, .parquet and .txt, and the check that they can be read.

An item is a list of parts, what is asked first: the first field, then every other string of the fields (each choice is
a part). It is known by its set's name and its row's number, from 0, counted on over the set's files in their order.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec
import pyarrow.parquet as pq

from ..core.errors import InputError
from ..core.recipe import Recipe
from ..core.settings_cleaning import EvalSet
from .sources.paths import expand, resolve, stamp

Item = list[str]
ENDINGS = (".jsonl", ".jsonl.gz", ".parquet", ".txt", ".txt.gz")


def read_items(one: EvalSet) -> Iterator[Item]:
    """All items of a set. Raises InputError naming file, row and field."""
    for file in set_files(one):
        for number, row in enumerate(_rows(file)):
            yield [row] if isinstance(row, str) else _parts(row, one, f"{file}, row {number}")


def check_sets(recipe: Recipe) -> None:
    """Raise InputError when a set's file is missing, of another kind, or without a named field in its first row."""
    for one in recipe.decontaminate.sets:
        for file in set_files(one):
            for row in islice(_rows(file), 1):
                if not isinstance(row, str):
                    _parts(row, one, f"{file}, row 0")


def set_files(one: EvalSet) -> list[str]:
    """The set's files, in the order of the recipe, those of a pattern by name."""
    key = f"decontaminate.sets.{one.name}.paths"
    found = [file for path in one.paths for file in sorted(expand(path, key, str(Path.cwd()), ()))]
    for file in found:
        if not file.endswith(ENDINGS):
            raise InputError(f"{key}: {file} is none of {', '.join(ENDINGS)}", "convert it, or correct the path")
    return found


def set_stamps(recipe: Recipe) -> dict[str, str]:
    """Path to `size:time` of every set's file: a changed file is looked for anew."""
    return {file: stamp(file) for one in recipe.decontaminate.sets for file in set_files(one)}


def _rows(file: str) -> Iterator[dict[str, Any] | str]:
    """The rows of a file: objects, or the lines of a text file that are not blank."""
    with fsspec.open(resolve(file), "rb", compression="infer") as opened:
        handle = cast(BinaryIO, opened)
        if file.endswith(".parquet"):
            for batch in pq.ParquetFile(handle).iter_batches():
                yield from cast(list[dict[str, Any]], batch.to_pylist())
            return
        try:
            lines = (line.strip() for line in io.TextIOWrapper(handle, encoding="utf-8"))
            for number, line in enumerate(line for line in lines if line):
                yield _object(line, file, number) if ".jsonl" in file else line
        except (UnicodeDecodeError, EOFError, OSError) as error:
            raise InputError(f"{file} cannot be read: {error}", "restore the file") from error


def _object(line: str, file: str, number: int) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{file}, row {number} is not JSON: {error}", "correct the file") from error
    if not isinstance(row, dict):
        raise InputError(f"{file}, row {number} is {type(row).__name__}, not an object", "correct the file")
    return row


def _parts(row: dict[str, Any], one: EvalSet, where: str) -> Item:
    """The strings of the named fields; a list of a first field is one part."""
    first, *others = [_strings(row, field, one, where) for field in one.fields]
    parts = [" ".join(first), *(text for texts in others for text in texts)]
    return [part for part in parts if part.strip()]


def _strings(row: dict[str, Any], field: str, one: EvalSet, where: str) -> list[str]:
    value: Any = row
    for key in field.split("."):
        if not isinstance(value, dict) or key not in value:
            known = ", ".join(value) if isinstance(value, dict) else type(value).__name__
            raise InputError(
                f"decontaminate.sets.{one.name}: {where} has no field {field!r}", f"its fields are: {known}"
            )
        value = value[key]
    values = value if isinstance(value, list) else [value]
    if any(isinstance(each, dict | list) for each in values):
        raise InputError(
            f"decontaminate.sets.{one.name}: {where}: {field!r} holds objects, not texts",
            f"name what is inside, such as {field}.text",
        )
    return [str(each) for each in values if each is not None]
