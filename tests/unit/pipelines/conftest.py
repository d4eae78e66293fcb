"""The real English dump of Wikipedia, shortened, and its first pages."""

from __future__ import annotations

import bz2
import re
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def english_dump(shared_data: Path) -> bytes:
    return bz2.decompress((shared_data / "wikipedia-dump-sample/enwiki-pages-articles-shortened.xml.bz2").read_bytes())


@pytest.fixture(scope="module")
def short_dump(english_dump: bytes) -> bytes:
    """The first pages of the English dump."""
    ends = [found.end() for found in re.finditer(b"</page>\n", english_dump)]
    return english_dump[: ends[69]] + b"</mediawiki>\n"
