"""Personal data and secrets in texts: each replaced by the fixed word of its kind, and counted.

    texts ─► which of them can hold a kind at all (RE2 over the batch) ─► spans in those ─► masked texts

What counts as a find is decided by check digits, address ranges and known formats, not by shape alone: a price, a
version, an ISBN or a line of code stays as it is. pii_numbers.py and pii_secrets.py say how each kind is found.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..core.settings_quality import Pii
from .pii_numbers import CARD_HINT, IBAN_HINT, IP_HINT, PHONE_HINT, cards, ibans, ips, phones
from .pii_secrets import SECRET_HINT, secrets

Span = tuple[int, int]

LOCAL_SIGNS = frozenset(".!#$%&'*+/=?^_`{|}~-")
LOCAL_MAX = 64  # RFC 5321
DOMAIN = re.compile(r"(?:[\w-]{1,63}\.){1,8}([^\W\d_]{2,24}|xn--[\w-]{2,50})(?![\w@])")


class Masked(NamedTuple):
    """A text without personal data, and how many finds of each kind it had."""

    text: str
    counts: dict[str, int]


def emails(text: str) -> Iterator[Span]:
    """Addresses below a top-level domain that exists."""
    at = text.find("@")
    while at != -1:
        start = at
        while start > max(0, at - LOCAL_MAX - 1) and (text[start - 1].isalnum() or text[start - 1] in LOCAL_SIGNS):
            start -= 1
        while start < at and not text[start].isalnum():
            start += 1
        domain = DOMAIN.match(text, at + 1)
        if 0 < at - start <= LOCAL_MAX and text[at - 1] != "." and domain and domain[1].lower() in top_level():
            yield start, domain.end()
        at = text.find("@", at + 1)


@cache
def top_level() -> frozenset[str]:
    """The top-level domains of the Public Suffix List, as tldextract ships it."""
    import tldextract

    listed = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None).tlds
    return frozenset(suffix.rpartition(".")[2] for suffix in listed)


# In the order in which they get a place that two of them claim.
KINDS: dict[str, tuple[str, Callable[[str], Iterator[Span]]]] = {
    "secret": (SECRET_HINT, secrets),
    "email": ("@", emails),
    "iban": (IBAN_HINT, ibans),
    "card": (CARD_HINT, cards),
    "ip": (IP_HINT, ips),
    "phone": (PHONE_HINT, phones),
}


def mask(texts: Sequence[str], settings: Pii) -> list[Masked]:
    """Each text without the kinds that the settings name; the same in any batch."""
    words = {kind: word for kind in KINDS if (word := getattr(settings, kind)) is not None}
    spans: dict[int, list[tuple[int, int, str]]] = {}
    some = _having("|".join(f"(?:{KINDS[kind][0]})" for kind in words), texts, range(len(texts))) if words else []
    for kind in words:
        hint, find = KINDS[kind]
        for place in _having(hint, texts, some):
            spans.setdefault(place, []).extend((start, -end, kind) for start, end in find(texts[place]))
    return [_replace(text, spans[at], words) if spans.get(at) else Masked(text, {}) for at, text in enumerate(texts)]


def _having(hint: str, texts: Sequence[str], places: Sequence[int]) -> list[int]:
    """Those places whose text the hint matches."""
    column = pa.array([texts[place] for place in places], pa.large_string())
    found = np.flatnonzero(pc.match_substring_regex(column, hint).to_numpy(zero_copy_only=False))
    return [places[at] for at in found.tolist()]


def _replace(text: str, spans: list[tuple[int, int, str]], words: dict[str, str]) -> Masked:
    """Where spans overlap, the first counts; of those that begin together the longest, then the earlier kind."""
    order = {kind: number for number, kind in enumerate(KINDS)}
    counts: Counter[str] = Counter()
    parts, done = [], 0
    for start, end, kind in sorted(spans, key=lambda span: (span[0], span[1], order[span[2]])):
        if start >= done:
            parts += [text[done:start], words[kind]]
            counts[kind] += 1
            done = -end
    return Masked("".join([*parts, text[done:]]), dict(counts))
