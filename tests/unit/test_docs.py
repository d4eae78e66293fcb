"""README and docs: every command parses, every link leads somewhere. integration/test_run.py runs the commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml
from crawl2chat.cli import EXAMPLES, parse
from crawl2chat.core.recipe import Recipe
from crawl2chat.pipelines.data_verbs import WORDS

ROOT = Path(__file__).parent.parent.parent
VERBS = sorted({line.split()[1] for line in EXAMPLES.splitlines()[1:]} | {f"data {word}" for word in WORDS})
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def test_commands_parse(documented_commands: dict[str, list[str]]) -> None:
    for commands in documented_commands.values():
        for command in commands:
            parse(shlex.split(command)[1:])


def test_the_tour_shows_the_main_verbs_in_ten_commands(documented_commands: dict[str, list[str]]) -> None:
    verbs = [shlex.split(command)[1] for command in documented_commands["README.md"]]
    tour, cluster = verbs[: verbs.index("submit")], verbs[verbs.index("submit") :]
    assert cluster == ["submit", "status", "logs", "stop", "submit"], "and `ray start`: six"
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## On a cluster, in six commands")[2]
    first, *others = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)[0].splitlines()
    assert first.startswith("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER=0 ray start --head "), "as core/session.py: loopback"
    assert len(others) == 5
    assert {"run", "report", "data", "trace", "chat", "serve", "evaluate", "export", "import", "tune"} <= set(tour)
    assert len(tour) <= 10


def test_examples_of_the_help_parse() -> None:
    for line in EXAMPLES.splitlines()[1:]:
        parse(shlex.split(re.split(r" {2,}", line.strip())[0])[1:])


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_for_each_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse([*verb.split(), "--help"])
    assert f"examples:\n  crawl2chat {verb} " in capsys.readouterr().out


def test_sections_in_the_docs_are_valid() -> None:
    """Each block of YAML is a recipe, or sections of one that reads the sources web and wiki."""
    sources = [{"kind": "jsonl", "name": name, "paths": ["x.jsonl"]} for name in ("web", "wiki")]
    blocks = [found for page in PAGES for found in re.findall(r"```yaml\n(.*?)```", page.read_text("utf-8"), re.DOTALL)]
    assert len(blocks) > 5
    for block in blocks:
        Recipe.model_validate({"name": "r", "sources": sources, **yaml.safe_load(block)})


def test_the_page_on_recipes_names_every_section() -> None:
    rows = re.findall(r"^\| (`.*?) \|", (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(Recipe.model_fields)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_tests_that_the_threat_model_names_are_there() -> None:
    named = re.findall(r"`([\w/]+\.py)`", (ROOT / "docs" / "security.md").read_text(encoding="utf-8"))
    tests = [path.as_posix() for path in (ROOT / "tests").rglob("test_*.py")]
    assert len(named) > 15
    assert [name for name in named if not any(path.endswith(f"/{name}") for path in tests)] == []


def test_an_unknown_verb_exits_with_2() -> None:
    with pytest.raises(SystemExit) as caught:
        parse(["crawl"])
    assert caught.value.code == 2
