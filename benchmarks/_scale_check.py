"""A prediction beside what was measured: the profile of one run says how another of a different size will go.

Known of the other run beforehand are the bytes of its input files and its cores. Predicted are documents, tokens, bytes
on disk and files of each stage, and its seconds.
"""

from __future__ import annotations

from dataclasses import dataclass

from _scale_load import Corpus
from _scale_model import simulate
from _scale_passes import GROWS, PASSES, grown
from _scale_profile import Profile
from _scale_shape import Costs, here

# by how much a prediction may be off: seconds of a busy machine scatter, and rows depend on which pages a corpus has
TOLERANCE = {"rows": 0.25, "bytes": 0.3, "files": 0.0, "seconds": 0.5}
SHORT_S = 2.0  # off by less than this, seconds are right
COUNTED = ("pages", "documents", "text bytes", "candidates", "edges", "kept", "words", "windows", "lines", "left",
           "tokens")  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One figure: what it is of (rows, bytes, files, seconds), predicted and measured."""

    kind: str
    name: str
    predicted: float
    measured: float

    @property
    def error(self) -> float:
        """Share by which the prediction is off; negative where it is too low."""
        return (self.predicted - self.measured) / self.measured if self.measured else float(self.predicted > 0)

    @property
    def right(self) -> bool:
        near = self.kind == "seconds" and abs(self.predicted - self.measured) < SHORT_S
        return near or abs(self.error) <= TOLERANCE[self.kind]


def compare(profile: Profile, other: Profile, costs: Costs) -> list[Line]:
    """The figures of `other`, predicted from `profile` and the sizes of the other's input files."""
    sizes = list(other.amounts["warc bytes"].values())
    totals = grown(profile.totals, sum(sizes))
    corpus = Corpus(totals, len(sizes), sizes=sizes)
    rows = simulate(profile, corpus, here(other.cores), costs)
    lines = [Line("rows", name, totals[name], other.totals[name]) for name in COUNTED if _both(name, profile, other)]
    measured = {one.key: other.passes[one.key] for one in PASSES if one.key in other.passes}
    for stage in other.seconds:
        mine = [row for row in rows if row.stage == stage and f"{stage}/{row.name}" in measured]
        if not mine:
            continue
        folders = [name for name in GROWS if name.startswith(f"{stage}/") and other.files[name]]
        written = sum(row.written for row in mine)
        lines.append(Line("bytes", stage, written, sum(other.disk[name] for name in folders)))
        lines.append(Line("files", stage, sum(row.files for row in mine), _files(stage, other)))
        seconds = sum(row.hours for row in mine) * 3600 + profile.rest.get(stage, 0.0)
        lines.append(Line("seconds", stage, seconds, other.seconds[stage]))
    return lines


def _both(name: str, profile: Profile, other: Profile) -> bool:
    return name in profile.totals and name in other.totals


def _files(stage: str, profile: Profile) -> int:
    """Files of the passes' folders, and the records of their tasks."""
    found = sum(profile.files[name] for name in GROWS if name.startswith(f"{stage}/"))
    ends = (one for one in PASSES if one.stage == stage and one.key in profile.passes)
    return found + sum(profile.passes[one.key].tasks for one in ends if one.tasks not in ("driver", "partitions"))


def rows_of(lines: list[Line]) -> list[list[object]]:
    """Rows of a table."""
    return [
        [line.kind, line.name, f"{line.predicted:,.4g}", f"{line.measured:,.4g}", f"{line.error:+.1%}",
         "" if line.right else "wrong"]
        for line in lines
    ]  # fmt: skip
