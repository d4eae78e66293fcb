"""Rows of a JSON file with the lines where they begin: `.jsonl`, or `.json` with one array; either in `.gz`."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..core.errors import InputError

BETWEEN = re.compile(r"[\s,]*")


def json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """(line where it begins, row), lines from 1; of a line that is no JSON its text in place of a row.

    Raises InputError for a file that cannot be read, or is no array, at the line where that shows.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(
            f"{path} cannot be read: {error}", "give a .json or .jsonl file in UTF-8, or one in .gz"
        ) from error
    if path.name.removesuffix(".gz").endswith(".jsonl"):
        for number, line in enumerate(text.split("\n"), 1):  # JSON strings may hold other line ends
            if line.strip():
                yield number, _parsed(line)
        return
    yield from _array(text, path)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return line


def _array(text: str, path: Path) -> Iterator[tuple[int, Any]]:
    """Row by row, so that each has its line."""
    decoder, line, seen = json.JSONDecoder(), 1, 0
    at = len(text) - len(text.lstrip())
    fault = "it does not begin with ["
    if text[at : at + 1] == "[":
        at = _behind(text, at + 1)
        while text[at : at + 1] not in ("]", ""):
            line, seen = line + text.count("\n", seen, at), at
            try:
                row, end = decoder.raw_decode(text, at)
            except (ValueError, RecursionError) as error:
                fault = str(error)
                break
            yield line, row
            at = _behind(text, end)
        else:
            fault = "" if text[at:].strip() == "]" else "the array does not end with ]"
    if fault:
        line += text.count("\n", seen, at)
        raise InputError(f"{path}:{line} is no JSON array of rows: {fault}", "correct the file, or write .jsonl")


def _behind(text: str, at: int) -> int:
    found = BETWEEN.match(text, at)
    return found.end() if found else at
