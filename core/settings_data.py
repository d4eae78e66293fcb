"""The recipe's sections for data: sources, crawl, extraction, filters, dedup, tokenizer, shards.

Plain pydantic models, no behaviour but checks. A section is the slice of the recipe that a stage's fingerprint
covers: a changed value reruns that stage and those after it, and no other.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator


class Section(BaseModel):
    """A part of the recipe: unknown keys are errors, values do not change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True)


# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class CrawlSource(Section):
    """Pages that our own crawler fetches, politely, and stores as WARC."""

    kind: Literal["crawl"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    seeds: list[str] = Field(default_factory=list, description="URLs to start from")
    site: Literal["pydoc"] | None = Field(default=None, description="a site that the run serves itself, on loopback")
    include: list[str] = Field(default_factory=list, description="regular expressions; a URL must match one")
    exclude: list[str] = Field(default_factory=list, description="regular expressions; a URL must match none")
    same_host: bool = Field(default=True, description="follow links only to the seeds' hosts")
    max_pages: int = Field(default=1000, ge=1)
    max_bytes: int = Field(default=1 << 30, ge=1, description="of all response bodies together")
    max_page_bytes: int = Field(default=10 << 20, ge=1, description="a longer body is cut there, and so marked")
    max_depth: int = Field(default=10, ge=0, description="links away from a seed")
    max_redirects: int = Field(default=5, ge=0, le=60, description="hops from a link to its page")
    page_timeout: float = Field(default=30.0, gt=0, description="seconds for one answer, connecting included")
    content_types: list[str] = Field(
        default=["text/html", "application/xhtml+xml"], description="pages of other types are not stored"
    )
    delay: float = Field(
        default=1.0, ge=0, description="seconds from a host's answer to the next request; robots' crawl-delay if longer"
    )
    per_host: int = Field(default=1, ge=1, description="requests to one host at a time if its delay is 0, else one")
    concurrency: int = Field(default=16, ge=1, description="requests at a time, all hosts and workers together")
    workers: int = Field(default=1, ge=1, description="fetching Ray actors")
    retries: int = Field(default=3, ge=0, description="further attempts after a time-out, a lost connection, 429, 5xx")
    retry_wait: float = Field(default=1.0, gt=0, description="seconds before the first of them; doubled each time")
    user_agent: str = "crawl2chat/0.1 (no operator named; set user_agent)"
    respect_robots: bool = True
    allow_private: bool = Field(default=False, description="private, loopback and link-local addresses may be fetched")
    warc_files: int = Field(default=4, ge=1, description="WARC files written, and units of the stages after it")

    @field_validator("seeds")
    @classmethod
    def _urls(cls, seeds: list[str]) -> list[str]:
        for seed in seeds:
            if not re.match(r"https?://[^/?#@\s]+([/?#]|$)", seed, re.IGNORECASE):
                raise ValueError(f"the seed {seed!r} is not a web address; give URLs such as https://example.org/")
        return seeds

    @field_validator("include", "exclude")
    @classmethod
    def _patterns(cls, patterns: list[str]) -> list[str]:
        for pattern in patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}; correct it") from error
        return patterns


class WarcSource(Section):
    """WARC files (.warc, .warc.gz): local, or at any address that fsspec knows."""

    kind: Literal["warc"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    paths: list[str] = Field(min_length=1, description="files, globs or fsspec URLs")


class TableSource(Section):
    """Rows of jsonl (.jsonl, .jsonl.gz) or parquet files that already hold text."""

    kind: Literal["jsonl", "parquet"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    paths: list[str] = Field(min_length=1)
    text: str = Field(default="text", description="column that holds the text")
    url: str | None = Field(default=None, description="column that holds the URL")
    title: str | None = None
    date: str | None = None


class WikipediaSource(Section):
    """Wikipedia XML dumps (.xml, .xml.bz2). `package:gensim/…` names a file inside an installed Python package."""

    kind: Literal["wikipedia"]
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    paths: list[str] = Field(min_length=1)
    site: str = Field(default="https://en.wikipedia.org/wiki/", description="prefix of an article's URL")


Source = Annotated[CrawlSource | WarcSource | TableSource | WikipediaSource, Field(discriminator="kind")]


# ── extraction and filters ───────────────────────────────────────────────────────────────────────────────────────────


class Extract(Section):
    """HTML to text."""

    max_html_bytes: int = Field(default=10 << 20, ge=1)
    min_chars: int = Field(default=1, ge=1, description="shorter texts are dropped as empty")


class Language(Section):
    """Documents in other languages are dropped (fastText lid.176)."""

    keep: list[str] = Field(default_factory=lambda: ["en"], description="ISO codes; empty keeps every language")
    threshold: float = Field(default=0.65, ge=0, le=1)


class GopherRepetition(Section):
    """Gopher's repetition rules (Rae et al. 2021, table A1), by datatrove. A None switches its rule off."""

    dup_line_frac: float | None = 0.3
    dup_para_frac: float | None = 0.3
    dup_line_char_frac: float | None = 0.2
    dup_para_char_frac: float | None = 0.2
    top_n_grams: list[tuple[int, float]] = [(2, 0.2), (3, 0.18), (4, 0.16)]
    dup_n_grams: list[tuple[int, float]] = [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)]


class GopherQuality(Section):
    """Gopher's quality rules (Rae et al. 2021, appendix A), by datatrove. A None switches its rule off."""

    min_doc_words: int | None = 50
    max_doc_words: int | None = 100_000
    min_avg_word_length: float | None = 3
    max_avg_word_length: float | None = 10
    max_symbol_word_ratio: float | None = 0.1
    max_bullet_lines_ratio: float | None = 0.9
    max_ellipsis_lines_ratio: float | None = 0.3
    max_non_alpha_words_ratio: float | None = 0.8
    min_stop_words: int | None = 2


class C4Quality(Section):
    """C4's rules (Raffel et al. 2020), by datatrove. They drop lines as well as documents."""

    filter_no_terminal_punct: bool = False
    min_num_sentences: int = 5
    min_words_per_line: int = 3
    max_word_length: int = 1000
    filter_lorem_ipsum: bool = True
    filter_javascript: bool = True
    filter_curly_bracket: bool = True
    filter_policy: bool = True
    remove_citations: bool = True


class FineWebQuality(Section):
    """FineWeb's rules (Penedo et al. 2024), by datatrove."""

    line_punct_thr: float = 0.12
    short_line_thr: float = 0.67
    short_line_length: int = 30
    char_duplicates_ratio: float = 0.01
    new_line_ratio: float = 0.3


class Filters(Section):
    """Applied in this order; the first that objects drops the document. A null switches a filter off."""

    gopher_repetition: GopherRepetition | None = GopherRepetition()
    gopher_quality: GopherQuality | None = GopherQuality()
    c4: C4Quality | None = C4Quality()
    fineweb: FineWebQuality | None = FineWebQuality()


# ── dedup, tokenizer, shards ─────────────────────────────────────────────────────────────────────────────────────────


class Dedup(Section):
    """Exact, then MinHash LSH: a pair of Jaccard similarity s shares a bucket with probability 1-(1-s^rows)^bands."""

    ngram: int = Field(default=5, ge=1, description="words in a shingle")
    bands: int = Field(default=14, ge=1, le=128)
    rows: int = Field(default=8, ge=1, le=64)
    partitions: int = Field(default=8, ge=1, description="of the shuffle of band keys")
    seed: int = 1


class Tokenizer(Section):
    """Byte-level BPE, trained on the kept documents."""

    vocab_size: int = Field(default=2048, ge=300, le=1 << 20)
    train_bytes: int = Field(default=1 << 30, ge=1, description="of text to train on, drawn evenly by document hash")


class Shards(Section):
    """Token shards and the validation split."""

    validation_share: float = Field(default=0.05, gt=0, lt=1, description="of the documents, chosen by hash")
