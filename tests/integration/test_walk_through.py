"""docs/data.md walks from a WARC file of Common Crawl to filtered parquet: each command as it stands, local mirror."""

from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from crawl2chat.core.recipe import SHIPPED

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def test_five_commands(crawl_mirror: Any, documented_commands: dict[str, list[str]], workshop: Any) -> None:
    shutil.copy(SHIPPED / "common_crawl.yaml", workshop.folder / "recipes")
    commands = [one for one in documented_commands["data.md"] if "common_crawl" in one]
    assert len(commands) == 5
    said: dict[str, str] = {}
    for command in commands:
        arguments = shlex.split(command)[1:]
        if arguments[-1] == "recipes/common_crawl.yaml":  # the one command that fetches: here from the local mirror
            arguments += ["--set", f"sources.cc.mirror={crawl_mirror.url}", "--set", "sources.cc.files=[0,3]"]
        code, output = workshop.run(*arguments)
        assert code == 0, f"{command}\n{output}"
        said[arguments[1]] = output
    assert "cc" in said["stats"]
    assert "gopher" in said["sweep"]
    assert said["inspect"].strip()
    folder = workshop.folder / Path(shlex.split(commands[-1])[-1])
    counted = json.loads((folder / "manifest.json").read_text())["counters"]["documents"]
    assert sum(pq.read_metadata(file).num_rows for file in folder.glob("*.parquet")) == counted > 0
