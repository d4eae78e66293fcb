"""The recipe's sections for data: extraction, filters, dedup, tokenizer, shards.

Plain pydantic models, no behaviour but checks. A section is the slice of the recipe that a stage's fingerprint
covers: a changed value reruns that stage and those after it, and no other.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from .section import Section as Section
from .settings_dedup import Dedup as Dedup
from .settings_filters import Filters as Filters
from .settings_sources import CommonCrawlSource as CommonCrawlSource
from .settings_sources import CrawlSource as CrawlSource
from .settings_sources import Source as Source
from .settings_sources import TableSource as TableSource
from .settings_sources import WarcSource as WarcSource
from .settings_sources import WikipediaSource as WikipediaSource
from .settings_tokenizer import Tokenizer as Tokenizer

# ── extraction, language ─────────────────────────────────────────────────────────────────────────────────────────────


class Extract(Section):
    """HTML to text."""

    engine: Literal["cascade", "resiliparse", "trafilatura"] = Field(
        default="cascade", description="what finds a page's main content: docs/extraction.md compares them"
    )
    max_html_bytes: int = Field(default=10 << 20, ge=1)
    page_seconds: float = Field(
        default=10.0, ge=0.01, le=3600, description="a page that takes more processor time is dropped"
    )
    page_mb: int = Field(default=1024, ge=16, le=1 << 20, description="a page that needs more memory is dropped")
    min_chars: int = Field(default=1, ge=1, description="shorter texts are dropped as empty")


class Language(Section):
    """Documents in other languages are dropped (fastText lid.176)."""

    keep: list[str] = Field(default_factory=lambda: ["en"], description="ISO codes; empty keeps every language")
    threshold: float = Field(default=0.65, ge=0, le=1)


# ── shards ───────────────────────────────────────────────────────────────────────────────────────────────────────────


class Shards(Section):
    """Token shards and the validation split."""

    validation_share: float = Field(default=0.05, gt=0, lt=1, description="of the documents, chosen by hash")
    split: Literal["documents", "tail"] = Field(
        default="documents", description="tail: the share is the last part of every document, for a corpus of few"
    )
    early: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="share of the units after which pretraining begins, on these; null: when all are there",
    )
