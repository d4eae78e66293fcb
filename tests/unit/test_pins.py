"""The files of pinned dependencies: whole, with hashes, of one mind, and what the commands of set-up install."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
FILES = ("requirements.txt", "requirements-gpu.txt", "requirements-dev.txt")
LEFT_OUT = {"fasttext-predict", "fasttext-predict-v2"}  # see .ci/pins.py
BLOCK = re.compile(r"([\w.-]+==[^\s;]+)(?: ; [^\\\n]+)? \\\n(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+")


def pins(name: str) -> dict[str, str]:
    """Name to version. Fails where a line is anything but a pin with hashes."""
    text = "".join(line for line in (ROOT / name).read_text().splitlines(keepends=True) if not line.startswith("#"))
    assert BLOCK.sub("", text) == "", "each is pinned, each has hashes, and nothing else stands there"
    found = [one[1].split("==") for one in BLOCK.finditer(text)]
    assert len(found) == len({canonicalize_name(package) for package, _ in found})
    return {canonicalize_name(package): version for package, version in found}


def wanted(*extras: str) -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    asked = [Requirement(one) for one in [*project["dependencies"], *(one for e in extras for one in optional[e])]]
    own = [extra for one in asked if one.name == "crawl2chat" for extra in one.extras]
    return [one for one in asked if one.name != "crawl2chat"] + (wanted(*own) if own else [])


def test_no_registry_is_named() -> None:
    for name in FILES:
        assert "://" not in (ROOT / name).read_text() and "index-url" not in (ROOT / name).read_text()


@pytest.mark.parametrize(
    ("files", "extras"), [(FILES[:2], ("demo",)), (FILES, ("demo", "bench", "dev"))], ids=["runtime", "all"]
)
def test_what_pyproject_asks_for_is_pinned(files: tuple[str, ...], extras: tuple[str, ...]) -> None:
    pinned = {package: version for name in files for package, version in pins(name).items()}
    for one in wanted(*extras):
        assert one.specifier.contains(pinned[canonicalize_name(one.name)], prereleases=True), one


def test_files_and_constraints_agree() -> None:
    parts = [pins(name) for name in FILES]
    whole = {package: version for part in parts for package, version in part.items()}
    assert len(whole) == sum(map(len, parts)), "each in one file"
    lines = (line.split("==") for line in (ROOT / "constraints.txt").read_text().split())
    plain = {canonicalize_name(package): version for package, version in lines}
    assert plain.items() <= (whole | {name: plain[name] for name in LEFT_OUT}).items()
    assert whole.keys() - plain.keys() == pins("requirements-gpu.txt").keys() - {"torch"}
    assert pins("requirements-cpu.txt") == {"torch": f"{plain['torch']}+cpu"}


def test_set_up_takes_nothing_without_its_hash() -> None:
    """Every `pip install` of the Makefile's set-up; our own package brings nothing along."""
    text = (ROOT / "Makefile").read_text()
    rule = re.search(r"\$\(VENV\)/installed:.*?@touch", text, re.DOTALL)
    assert rule is not None
    installs = [line for line in rule[0].splitlines() if "$(PINNED)" in line or "pip install" in line]
    assert len(installs) == 3  # the first names two files, one or the other
    assert all("$(PINNED)" in line or "--no-deps --no-build-isolation -e ." in line for line in installs)
    assert re.search(r"PINNED := .* --require-hashes --no-deps$", text, re.MULTILINE)
    assert "--strict" in text[text.index("\naudit:") :], "what the database does not know must not pass for safe"
