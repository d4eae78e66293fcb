"""`crawl2chat dedup --index I --add NEW`, as a user types it, on the test session's Ray."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
import yaml
from crawl2chat.cli import main
from crawl2chat.core.manifest import read_manifest

pytestmark = pytest.mark.ray
WORDS = 80


def text_of(number: int, edits: int = 0) -> str:
    """A page of words of its own, of which the first are replaced."""
    return " ".join(f"w{number}x{at}" if at >= edits else f"new{at}" for at in range(WORDS))


@pytest.fixture
def recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """january.yaml and february.yaml, and all.yaml, which reads both months' files: 40 pages each, 15 in both."""
    monkeypatch.chdir(tmp_path)
    january = [text_of(number) for number in range(40)]
    copies = [text_of(number, edits=number % 3) for number in range(30, 45)]
    february = [*copies, *(text_of(number) for number in range(45, 69)), text_of(68)]
    for month, texts in (("january", january), ("february", february)):
        Path(f"{month}.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    sources = [{"kind": "jsonl", "name": month, "paths": [f"{month}.jsonl"]} for month in ("january", "february")]
    for name, some in (("january", sources[:1]), ("february", sources[1:]), ("all", sources)):
        recipe: dict[str, Any] = {"name": name, "storage": "runs", "sources": some}
        recipe |= {"language": {"keep": [], "threshold": 0}, "dedup": {"priority": ["source", "length", "doc_id"]}}
        recipe |= {"filters": dict.fromkeys(("gopher_repetition", "gopher_quality", "c4", "fineweb"))}
        Path(f"{name}.yaml").write_text(yaml.safe_dump(recipe))
    return tmp_path


def fates(run: str) -> set[tuple[str, str, str]]:
    rows = ds.dataset(f"runs/{run}/dedup/dropped").to_table().to_pylist()
    return {(row["doc_id"], row["reason"], row["detail"]) for row in rows}


@pytest.mark.slow
def test_adding_by_the_command_line(local_ray: None, recipes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The new run keeps what is new, its index holds both, and all is as if both had been deduplicated at once."""
    assert main(["data", "january.yaml", "--set", "dedup.write_index=true"]) == 0
    assert main(["data", "february.yaml"]) == 0
    alone = fates("february")
    assert [reason for _, reason, _ in alone] == ["exact_duplicate"]
    index = "runs/january/dedup/index"

    capsys.readouterr()
    assert main(["dedup", "--index", index, "--add", "runs/february"]) == 0
    said = capsys.readouterr()
    assert "40 → 29" in said.out + said.err  # the table: ten of January's pages are in February again, and one twice
    assert main(["data", "all.yaml"]) == 0
    added = fates("february")
    assert added == fates("all") and len(added) == 11
    assert sum(reason == "exact_duplicate" for _, reason, _ in added) == 5
    written = json.loads(Path("runs/february/dedup/index/index.json").read_text())
    assert written["documents"] == 40 + 29

    manifest = read_manifest(Path("runs/february/dedup"))
    assert main(["dedup", "--index", index, "--add", "runs/february"]) == 0
    assert read_manifest(Path("runs/february/dedup")) == manifest, "up to date: nothing was done again"

    manifest = read_manifest(Path("runs/january/dedup"))
    assert main(["dedup", "--index", "runs/february/dedup/index", "--add", "runs/january", "--no-write"]) == 2
    refused = " ".join(capsys.readouterr().err.split())
    assert "stands in the index" in refused and "fix: add documents to an index once" in refused
    assert read_manifest(Path("runs/january/dedup")) == manifest, "found late, and what was finished is still there"
    assert Path(index, "index.json").exists()
    added = ["dedup", "--index", "runs/february/dedup/index", "--add", "runs/january", "--no-write", "--known", "drop"]
    assert main(added) == 0
    assert read_manifest(Path("runs/january/dedup")).counters["dropped.known_document"] == 40


@pytest.mark.slow
def test_adding_refuses_what_does_not_fit(local_ray: None, recipes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "january.yaml", "--set", "dedup.write_index=true", "--set", "dedup.threshold=0.7"]) == 0
    assert main(["data", "february.yaml"]) == 0
    before = read_manifest(Path("runs/february/dedup"))
    for index, said in (
        ("runs/january/dedup/index", "the recipe has bands=16, rows=6, threshold=0.8"),
        ("none", "none"),
    ):
        capsys.readouterr()
        assert main(["dedup", "--index", index, "--add", "runs/february"]) == 2
        assert said in " ".join(capsys.readouterr().err.split())
    assert read_manifest(Path("runs/february/dedup")) == before, "what was there is there"
