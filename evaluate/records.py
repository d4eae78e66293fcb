"""What a model gave for each item, one JSON object a line, so that a run that was killed goes on with the next item.

    {"about": {"model": "…", "task": "piqa", "shots": 0, …}}                    the first line: whose records these are
    {"id": "piqa_val:1", "row": 0, "subject": "", "answer": 0, "log_likelihoods": [-31.2, -30.8],
     "greedy": [false, false], "bytes": [155, 155], "lengths": [154, 154], "sizes": [154, 154], "text": ""}

`log_likelihoods` are sums over tokens in nats, one a choice; `bytes` those of the scored continuations in UTF-8;
`lengths` and `sizes` the characters and bytes of the choices, by which lm-evaluation-harness normalises; `text` is what
was generated.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..core.errors import ContractError, InputError
from ..core.files import write_text
from .items import Item


@dataclass(frozen=True)
class Record:
    """One item's scores, and what follows from them."""

    id: str
    row: int
    subject: str
    answer: int
    log_likelihoods: tuple[float, ...] = ()
    greedy: tuple[bool, ...] = ()
    bytes: tuple[int, ...] = ()
    lengths: tuple[int, ...] = ()
    sizes: tuple[int, ...] = ()
    text: str = ""

    @classmethod
    def of(cls, item: Item, **scores: Any) -> Record:
        return cls(item.id, item.row, item.subject, item.answer, **scores)

    @property
    def options(self) -> int:
        return len(self.log_likelihoods)

    @property
    def acc(self) -> bool:
        """The likeliest choice is the right one; of equal ones the first counts. With one choice: it is greedy."""
        if self.options == 1:
            return self.greedy[0]
        return _first_best(self.log_likelihoods) == self.answer

    @property
    def acc_norm(self) -> bool:
        """The same for log-likelihoods by character of the choice: the harness's `acc_norm`."""
        return _first_best([x / n for x, n in zip(self.log_likelihoods, self.lengths, strict=True)]) == self.answer

    @property
    def acc_bytes(self) -> bool:
        """The same by byte of the choice: the harness's `acc_bytes`."""
        return _first_best([x / n for x, n in zip(self.log_likelihoods, self.sizes, strict=True)]) == self.answer

    @property
    def right(self) -> tuple[float, int]:
        """Log-likelihood in nats, and bytes, of the right answer."""
        return self.log_likelihoods[self.answer], self.bytes[self.answer]


class RecordFile:
    """Records on disk. Opened anew with the same `about`, it holds all whole lines of before."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        """Raises ContractError where the file's records are of another run, InputError where it holds none."""
        self.path, self.records = path, dict[str, Record]()
        path.parent.mkdir(parents=True, exist_ok=True)
        data = path.read_bytes() if path.exists() else b""
        whole = data[: data.rfind(b"\n") + 1]  # a killed process leaves half a line
        if not whole:
            path.write_text(json.dumps({"about": about}, ensure_ascii=False) + "\n", encoding="utf-8")
            return
        first, *lines = whole.decode("utf-8").split("\n")[:-1]  # texts may hold other marks of lines
        _same(path, first, about)
        for number, line in enumerate(lines, 2):
            record = _record(path, number, line)
            self.records[record.id] = record
        if len(whole) < len(data):
            with path.open("r+b") as handle:
                handle.truncate(len(whole))

    def add(self, records: Iterable[Record]) -> None:
        """Append records, in one write."""
        records = list(records)
        with self.path.open("a", encoding="utf-8") as handle:
            handle.write("".join(f"{_line(one)}\n" for one in records))
        self.records.update({one.id: one for one in records})


def write_records(path: Path, about: dict[str, Any], records: Iterable[Record]) -> None:
    """A whole file of records, atomically."""
    lines = [json.dumps({"about": about}, ensure_ascii=False), *(_line(one) for one in records)]
    write_text(path, "".join(f"{line}\n" for line in lines))


def read_records(path: Path) -> list[Record]:
    """The records of a file that is whole. Raises InputError for anything else."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", "remove it, and evaluate again") from error
    return [_record(path, number, line) for number, line in enumerate(lines[1:], 2)]


def _line(record: Record) -> str:
    return json.dumps(asdict(record), ensure_ascii=False)


def _same(path: Path, first: str, about: dict[str, Any]) -> None:
    try:
        found = json.loads(first)["about"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: its first line is {first[:60]!r}, these are no records", "remove the file"
        ) from error
    different = {key for key in found.keys() | about.keys() if found.get(key) != about.get(key)}
    if different:
        was, now = ({key: one.get(key) for key in sorted(different)} for one in (found, about))
        raise ContractError(
            f"{path} holds records of {was}, this run's are of {now}", "give another path, or remove it"
        )


def _record(path: Path, number: int, line: str) -> Record:
    try:
        fields: dict[str, Any] = json.loads(line)
        values: dict[str, Any] = {key: tuple(one) if isinstance(one, list) else one for key, one in fields.items()}
        return Record(**values)
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{path}, line {number}: {line[:60]!r} is no record", "remove the file") from error


def _first_best(values: Iterable[float]) -> int:
    values = list(values)
    return values.index(max(values))
