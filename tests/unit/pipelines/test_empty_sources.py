"""A source that yields no document: an error where nothing could be read, a warning where settings dropped it all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crawl2chat.core.errors import StageError
from crawl2chat.core.log import log_to_terminal
from crawl2chat.core.recipe import Recipe
from crawl2chat.core.units import Unit, UnitReport
from crawl2chat.pipelines.empty_sources import check_kept
from crawl2chat.pipelines.extract_stage import EXTRACT, extract_unit

GERMAN = json.dumps({"text": "Dies ist ein deutscher Satz über den großen Hafen, und noch einer dazu."})


def extracted(folder: Path, kind: str, *texts: str) -> list[UnitReport]:
    """The reports of a source named s: a unit for each text, which is its file."""
    units = []
    for number, text in enumerate(texts):
        (file := folder / str(number)).write_text(text)
        spec = {"source": "s", "file": str(file), "origin": str(file), "key": file.name}
        units.append(Unit(name=f"s-{number:05d}", spec=spec))
    source: dict[str, Any] = {"kind": kind, "name": "s", "paths": [str(folder / "0")]}
    config = EXTRACT.config(Recipe.model_validate({"name": "r", "sources": [source]}))
    return [extract_unit(unit, folder, config) for unit in units]


def test_a_source_that_is_not_what_its_kind_says_fails_the_stage(tmp_path: Path) -> None:
    reports = extracted(tmp_path, "warc", "name: tiny\nstorage: runs\n", "a: b\n")
    with pytest.raises(
        StageError, match=r"sources\.s: none of its 2 records could be read \(read: not_warc 2\)"
    ) as caught:
        check_kept(tmp_path, reports)
    assert "what its kind says" in caught.value.fix
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("texts", "said"),
    [((GERMAN, "{broken"), "(language: language 1, read: bad_json 1)"), (("", ""), "(it has no records)")],
)
def test_a_source_that_settings_or_emptiness_leave_without_documents_is_a_warning(
    tmp_path: Path, texts: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    log_to_terminal()
    check_kept(tmp_path, extracted(tmp_path, "jsonl", *texts))
    assert f"source s: no document was kept {said}" in capsys.readouterr().err
