"""README and docs: every command parses, every link leads somewhere. integration/test_run.py runs the commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from crawl2chat.cli import parse

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_commands_parse(documented_commands: dict[str, list[str]]) -> None:
    for commands in documented_commands.values():
        for command in commands:
            parse(shlex.split(command)[1:])


def test_the_tour_shows_the_main_verbs(documented_commands: dict[str, list[str]]) -> None:
    verbs = {shlex.split(command)[1] for command in documented_commands["README.md"]}
    assert {"run", "status", "generate", "chat", "trace", "tune"} <= verbs


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_an_unknown_verb_exits_with_2() -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["crawl"])
    assert caught.value.code == 2
