"""What a run refuses before it starts, --dry-run refuses too, in the same words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from crawl2chat.cli import main


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"sources": [{"kind": "warc", "name": "w", "paths": ["folder"]}]}, "no file at"),
        ({"language": {"keep": ["eng"]}}, "language.keep has 'eng'"),
        ({"classifiers": [{"name": "q", "model": "none.bin", "keep_fraction": 0.3}]}, "no classifier at"),
        ({"toxicity": {"words": "none.txt"}}, "none.txt"),
        ({"evaluate": {"tasks": ["piqa"], "data": "nowhere"}}, "no file"),
        ({"decontaminate": {"sets": [{"name": "e", "paths": ["t.jsonl"], "fields": ["ask"]}]}}, "ask"),
    ],
)
def test_dry_run_checks_what_a_run_checks(
    section: dict[str, object],
    said: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("t.jsonl").write_text('{"text": "A text."}\n')
    source = {"kind": "jsonl", "name": "t", "paths": ["t.jsonl"]}
    Path("r.yaml").write_text(json.dumps({"name": "r", "sources": [source], **section}))
    heard = []
    for option in ((), ("--dry-run",)):
        assert main(["data", "r.yaml", *option]) == 2
        heard.append(" ".join(capsys.readouterr().err.split()))
    assert said in heard[0]
    assert heard[0] == heard[1]
    assert not Path("runs").exists()


def test_dry_run_shows_what_deduplication_would_find(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("t.jsonl").write_text('{"text": "A text."}\n')
    source = {"kind": "jsonl", "name": "t", "paths": ["t.jsonl"]}
    Path("r.yaml").write_text(json.dumps({"name": "r", "sources": [source]}))
    assert main(["data", "r.yaml", "--dry-run"]) == 0
    assert "16 bands × 6 rows" in (said := capsys.readouterr().out) and "0.8: 0.9923" in said
    assert main(["data", "r.yaml", "--dry-run", "--set", "dedup.bands=4", "--set", "dedup.rows=2"]) == 0
    assert "4 bands × 2 rows" in (said := capsys.readouterr().out) and "0.5: 0.6836, " in said
