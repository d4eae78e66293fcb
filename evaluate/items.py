"""One question of a task, and the rows of the files that questions come from.

A task's file is JSON lines, plain or gzipped. A row that is not what its task needs is an InputError that names file,
line and value, and how to fix it: a score over the rows that happened to be readable would be another score.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..core.errors import InputError


@dataclass(frozen=True)
class Item:
    """A question in the words in which a model is asked it, without examples before it.

    Either one context and several choices, of which one continues it rightly; or several contexts and one choice
    (WinoGrande), where the right context is the one after which the choice is likeliest; or one of each, where the
    choice is the answer itself (LAMBADA, GSM8K). Between context and choice belongs the task's delimiter.
    """

    id: str  # the data set's own, or `FILE:LINE`
    row: int  # in its file, from 0: how ledgers of decontamination count items
    contexts: tuple[str, ...]
    choices: tuple[str, ...]
    answer: int  # the place of the right choice, or of the right context
    subject: str = ""

    @property
    def options(self) -> int:
        """How many answers there are to choose from; 1 where the answer is to be said freely."""
        return max(len(self.contexts), len(self.choices))

    @property
    def solved(self) -> tuple[str, str]:
        """The right context and the right choice."""
        return self.contexts[self.answer % len(self.contexts)], self.choices[self.answer % len(self.choices)]


class Row:
    """A line of a file: its fields, asked for by name and by what they must be."""

    def __init__(self, path: Path, row: int, fields: dict[str, Any]) -> None:
        self._path, self._row, self._fields = path, row, fields

    def __contains__(self, key: str) -> bool:
        return key in self._fields

    def item(
        self,
        contexts: str | Sequence[str],
        choices: str | Sequence[str],
        answer: int = 0,
        *,
        identity: str = "",
        subject: str = "",
    ) -> Item:
        """The item that this row describes."""
        contexts = (contexts,) if isinstance(contexts, str) else tuple(contexts)
        choices = (choices,) if isinstance(choices, str) else tuple(choices)
        name = identity or f"{self._path.name.split('.')[0]}:{self._row + 1}"
        return Item(name, self._row, contexts, choices, answer, subject)

    def wrong(self, what: str, fix: str) -> InputError:
        return InputError(f"{self._path}, line {self._row + 1}: {what}", fix)

    def value(self, key: str) -> Any:
        """Whatever stands under the key. Raises InputError where nothing does."""
        if self._fields.get(key) is None:
            raise self.wrong(f"`{key}` is missing", f"add it, or remove the line; it has {sorted(self._fields)}")
        return self._fields[key]

    def text(self, key: str, empty: bool = False) -> str:
        """A string; not of white space alone, unless it may be."""
        found = self.value(key)
        if not isinstance(found, str) or not (found.strip() or empty):
            raise self.wrong(f"`{key}` is {found!r}", "give a text that is not empty")
        return found

    def texts(self, key: str, within: str | None = None) -> list[str]:
        """A list of at least two strings that are not empty; within = a key of the object that stands under `key`."""
        found = self.value(key)
        if within is not None:
            found = found.get(within) if isinstance(found, dict) else None
            key = f"{key}.{within}"
        if not isinstance(found, list) or len(found) < 2 or not all(isinstance(x, str) and x.strip() for x in found):
            raise self.wrong(f"`{key}` is {found!r}", "give a list of two or more texts that are not empty")
        return found

    def number(self, key: str, count: int, first: int = 0) -> int:
        """The place of the answer, from 0, of a number (or its digits) that counts `count` choices from `first`."""
        found = self.value(key)
        digits = isinstance(found, str) and found.strip().isdecimal() and len(found) < 20
        read = int(found) if digits else found
        if not isinstance(read, int) or isinstance(read, bool) or not first <= read < first + count:
            raise self.wrong(f"`{key}` is {found!r}", f"give the right answer, a number {first} to {first + count - 1}")
        return read - first

    def label(self, key: str, labels: Sequence[str]) -> int:
        """The place of the answer that is named by one of the labels."""
        found = self.value(key)
        if not isinstance(found, str) or found.strip() not in labels:
            raise self.wrong(f"`{key}` is {found!r}", f"give the label of the right answer, one of {list(labels)}")
        return labels.index(found.strip())


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a file of JSON lines. Raises InputError for a file that is missing, damaged or empty."""
    if not path.is_file():
        raise InputError(
            f"there is no file {path}",
            "give the folder that holds mmlu/ and eval-tasks/ (evaluate.data, --data), or the task's own file "
            "(evaluate.files.TASK, for examples evaluate.examples.TASK)",
        )
    number = -1
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines):
                yield _row(path, number, line)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error) as error:
        where = f"{path}, after line {number + 1}" if number >= 0 else str(path)
        raise InputError(
            f"{where}: {error}", "give a whole file of JSON lines in UTF-8, gzipped if its name ends in .gz"
        ) from error
    if number < 0:
        raise InputError(f"{path} is empty", "give a file with one item a line")


def _row(path: Path, number: int, line: str) -> Row:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError) as error:  # also of thousands of digits, and of what is nested too deep
        why = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise InputError(f"{path}, line {number + 1}: {line[:60]!r} is not JSON: {why}", "one object a line") from error
    if not isinstance(fields, dict):
        raise InputError(f"{path}, line {number + 1}: {line[:60]!r} is no object", "one object a line")
    return Row(path, number, fields)
