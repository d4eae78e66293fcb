"""Block lists for addresses, by datatrove's URLFilter: asked before a page is extracted, which is the dearest step.

    reason                  what stands in a list                                  value
    url_blocked_domain      the registered domain (example.co.uk)                  none
    url_blocked_host        the host name
    url_blocked_url         the address, with or without its scheme
    url_banned_word         a word between other characters than letters and digits
    url_soft_words          so many different soft words                           their number
    url_banned_subword      a string, within the letters and digits in lower case

datatrove's list holds addresses without `http://`, and its filter looks for whole ones, which never match; we look for
both. Domains and addresses are kept as sorted 64-bit hashes, those of datatrove in a file that all processes map.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import xxhash
from datatrove.utils._import_utils import ASSETS_PATH
from tldextract import TLDExtract

from ...core.errors import InputError
from ...core.settings_filters import UrlFilter
from .url_lists import shipped
from .verdict import Objection

OTHER = re.compile(r"[^a-zA-Z0-9]+")
SCHEME = re.compile(r"^[a-z][a-z0-9+.-]*://", re.IGNORECASE)
split_host = TLDExtract(suffix_list_urls=())  # the list of public suffixes that the package ships; nothing is fetched


class UrlBlocks:
    """The lists of a recipe."""

    def __init__(self, settings: UrlFilter) -> None:
        """Raises InputError for a file that is missing or unreadable."""
        ships = settings.integrated
        self._domains = [_hashes(_entries(settings.domains)), *([shipped("domains")] if ships else [])]
        self._urls = [_hashes(_entries(settings.urls)), *([shipped("urls")] if ships else [])]
        self._words = _words(settings.words, "banned_words.txt" if ships else None)
        self._soft = _words(settings.soft_words, "soft_banned_words.txt" if ships else None)
        self._subwords = sorted(_words(settings.subwords, "banned_subwords.txt" if ships else None) - {""})
        self._threshold = settings.soft_word_threshold

    def judge(self, urls: Sequence[str]) -> list[Objection | None]:
        """What the lists say of addresses; nothing of an empty one."""
        hosts = [split_host(url) for url in urls]
        blocked = (
            ("url_blocked_domain", _stands([host.top_domain_under_public_suffix for host in hosts], self._domains)),
            ("url_blocked_host", _stands([host.fqdn for host in hosts], self._domains)),
            ("url_blocked_url", _stands(urls, self._urls) | _stands([SCHEME.sub("", url) for url in urls], self._urls)),
        )
        found: list[Objection | None] = []
        for place, url in enumerate(urls):
            reason = next((reason for reason, hits in blocked if url and hits[place]), None)
            found.append(Objection(reason, None) if reason else self._by_words(url))
        return found

    def _by_words(self, url: str) -> Objection | None:
        if not url:
            return None
        words = set(OTHER.split(url))
        if not words.isdisjoint(self._words):
            return Objection("url_banned_word", None)
        if (count := len(words & self._soft)) >= self._threshold:
            return Objection("url_soft_words", float(count))
        letters = OTHER.sub("", url).lower()
        if any(subword in letters for subword in self._subwords):
            return Objection("url_banned_subword", None)
        return None


@lru_cache(maxsize=4)
def url_blocks(settings: str) -> UrlBlocks:
    """The lists of a section of the recipe, given as JSON: loaded once a process."""
    return UrlBlocks(UrlFilter.model_validate_json(settings))


def _stands(names: Sequence[str], lists: Sequence[np.ndarray]) -> np.ndarray:
    """For each name, whether one of the lists of hashes holds it."""
    wanted = _hash(names)
    found = np.zeros(len(wanted), dtype=np.bool_)
    for known in lists:
        if len(known):
            found |= known[np.minimum(np.searchsorted(known, wanted), len(known) - 1)] == wanted
    return found


def _hash(names: Iterable[str]) -> np.ndarray:
    return np.fromiter((xxhash.xxh3_64_intdigest(one.encode("utf-8", "replace")) for one in names), dtype=np.uint64)


def _hashes(names: Iterable[str]) -> np.ndarray:
    return np.unique(_hash(names))


def _entries(files: Sequence[str]) -> list[str]:
    """The lines of lists, without comments."""
    found: list[str] = []
    for file in files:
        try:
            lines = Path(file).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(
                f"filters.url: the list {file} cannot be read: {error}", "correct the path, or the file"
            ) from error
        found += [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return found


def _words(files: Sequence[str], asset: str | None) -> set[str]:
    """Words in lower case, letters and digits only, as datatrove normalises them."""
    entries = _entries([*files, *([str(Path(ASSETS_PATH) / asset)] if asset else [])])
    return {OTHER.sub("", entry).lower() for entry in entries}
