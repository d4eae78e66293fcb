"""docs/watching.md names the events and the numbers that the code has, and its filters for jq work."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from crawl2chat.core.meters import METERS
from crawl2chat.core.run_events import RunEvents

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "watching.md").read_text(encoding="utf-8")
ENDINGS = {"stage_failed", "stage_interrupted"}  # made of how it ended


def test_events_are_those_of_the_code() -> None:
    folders = ("core", "train", "tune", "pipelines", "dedup", "tokenize", "evaluate", "chat")
    sources = [path.read_text(encoding="utf-8") for folder in folders for path in (ROOT / folder).rglob("*.py")]
    told = {name for text in sources for name in re.findall(r'(?:events\.add|self\.add|\.tell)\(\s*"(\w+)"', text)}
    told |= {name for text in sources for name in re.findall(r'"(training_\w+)"', text)} | ENDINGS
    section = PAGE.partition("## Events")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, flags=re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == told
    docstring = (ROOT / "core" / "run_events.py").read_text(encoding="utf-8").split('"""')[1]
    listed = re.findall(r"^\| ([\w, ]+) \|", docstring, flags=re.MULTILINE)
    assert {name for row in listed for name in row.split(", ")} == told | {"event"}


def test_numbers_are_those_of_the_code() -> None:
    assert set(re.findall(r"`ray_(crawl2chat_\w+)`", PAGE)) == set(METERS)


def test_filters_of_jq_find_what_they_are_for(tmp_path: Path) -> None:
    if shutil.which("jq") is None:
        pytest.skip("no jq: apt-get install jq")
    events = RunEvents(tmp_path, "tiny")
    events.add("run_began", stages=["extract"])
    events.add("stage_ended", stage="extract", seconds=1.5, counters={"documents": 3}, dropped={"pii": 2})
    events.add("spike", stage="pretrain", step=7, reason="the loss is 9", action="skip")
    events.add("run_ended", state="finished", seconds=2.0)
    commands = re.findall(r"\bjq (-\w+) ('[^']+')", PAGE)
    assert len(commands) == 3
    found = [
        subprocess.run(
            ["jq", flags, *shlex.split(program), str(events.path)], capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for flags, program in commands
    ]
    assert [len(lines) for lines in found] == [4, 1, 2] and "tiny" not in found[0][0]
    assert json.loads(found[1][0]) == ["extract", 1.5, {"pii": 2}]
    assert [json.loads(line)["event"] for line in found[2]] == ["spike", "run_ended"]
