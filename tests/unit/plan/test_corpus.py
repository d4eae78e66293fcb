"""From bytes of sources to quantities, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from crawl2chat.core.errors import InputError
from crawl2chat.core.recipe import Recipe
from crawl2chat.plan.corpus import corpus_of
from crawl2chat.plan.run_profile import Profile
from crawl2chat.plan.source_bytes import bytes_of_sources


def test_each_source_grows_by_itself(profile: Profile, recipe: Callable[..., Recipe]) -> None:
    """Ten times the web, half of the wiki: 1,000 + 250 pages, 500 + 225 documents, 16 rows for each of these."""
    sources = bytes_of_sources(recipe(), profile, {})
    assert [len(sources[name].sizes) for name in ("web", "wiki")] == [10, 1]
    assert [sources[name].total for name in ("web", "wiki")] == [1e7, 5e5]
    corpus = corpus_of(recipe(), profile, sources)
    assert corpus.units == 11 and corpus.totals["pages"] == 1250 and corpus.totals["documents"] == 725
    assert corpus.totals["rows"] == pytest.approx(725 * 16) and corpus.totals["edges"] == pytest.approx(105 * 2)
    assert corpus.totals["tokens"] == pytest.approx(5e5) and corpus.totals["left bytes"] == pytest.approx(1.99e6)
    assert corpus.totals["sample bytes"] == pytest.approx(1.99e6)
    assert list(corpus.work) == pytest.approx([1e6 / 0.75] * 10 + [5e5 / 1.5]), "bytes of wiki are extracted faster"


def test_the_tokenizer_reads_no_more_than_it_may(profile: Profile, recipe: Callable[..., Recipe]) -> None:
    small = recipe(tokenizer={"train_bytes": 10**6})
    assert corpus_of(small, profile, bytes_of_sources(small, profile, {})).totals["sample bytes"] == 10**6


def test_sources_that_the_profile_has_not_are_as_their_kind(profile: Profile, recipe: Callable[..., Recipe]) -> None:
    made = recipe()
    renamed = made.model_copy(update={"sources": [made.sources[0].model_copy(update={"name": "other"})]})
    corpus = corpus_of(renamed, profile, bytes_of_sources(renamed, profile, {}))
    assert corpus.totals["pages"] == 1000, "of web, which is WARC too"


def test_bytes_that_are_given_go_before_files(profile: Profile, recipe: Callable[..., Recipe]) -> None:
    found = bytes_of_sources(recipe(), profile, {"web": 1e14})["web"]
    assert found.total == pytest.approx(1e14) and len(found.sizes) == 100_000 and found.known == "as given"


def test_a_crawl_has_as_many_bytes_as_pages(profile: Profile) -> None:
    source = {"kind": "crawl", "name": "site", "seeds": ["https://example.org/"], "max_pages": 500, "warc_files": 2}
    made = Recipe.model_validate({"name": "r", "sources": [source]})
    found = bytes_of_sources(made, profile, {})["site"]
    assert found.sizes == (500 * 8000 / 2,) * 2 and found.pages == 500


@pytest.mark.parametrize(
    ("files", "total"), [(3, 3e9), ([10, 14], 4e9)], ids=["a number of files", "a slice of the listing"]
)
def test_files_of_common_crawl_are_of_a_gigabyte(profile: Profile, files: object, total: float) -> None:
    source = {"kind": "common_crawl", "name": "cc", "crawl": "CC-MAIN-2024-10", "files": files}
    made = Recipe.model_validate({"name": "r", "sources": [source]})
    assert bytes_of_sources(made, profile, {})["cc"].total == total


def test_what_cannot_be_known_must_be_said(profile: Profile, recipe: Callable[..., Recipe]) -> None:
    source = {"kind": "common_crawl", "name": "cc", "crawl": "CC-MAIN-2024-10"}
    made = Recipe.model_validate({"name": "r", "sources": [source]})
    with pytest.raises(InputError, match="--bytes cc=100g"):
        bytes_of_sources(made, profile, {})
    with pytest.raises(InputError, match="no such source"):
        bytes_of_sources(recipe(), profile, {"wob": 1e9})
