"""The recipe's sources: what is read, and where from. One class for each `kind`; docs/sources.md explains them."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from .section import Section


class NamedSource(Section):
    """Any source: its name goes into the units' names and the doc_ids."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")

    def identity(self) -> dict[str, Any]:
        """The settings that decide what comes out, which a stage's fingerprint covers."""
        return self.model_dump(mode="json")

    def rooted(self, absolute: Callable[[str], str]) -> Self:
        """The same source with its local paths made absolute."""
        return self


class FileSource(NamedSource):
    """A source that is files: local, at an address that fsspec knows, or `package:NAME/…` in a Python package."""

    endings: ClassVar[tuple[str, ...]] = ()  # of the files that a folder in `paths` stands for; () takes no folders
    paths: list[str] = Field(min_length=1, description="files, globs or fsspec URLs")

    def rooted(self, absolute: Callable[[str], str]) -> Self:
        return self.model_copy(update={"paths": [absolute(path) for path in self.paths]})


class CrawlSource(NamedSource):
    """Pages that our own crawler fetches, politely, and stores as WARC."""

    kind: Literal["crawl"]
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

    def identity(self) -> dict[str, Any]:
        """How a site was crawled does not matter to later stages: the crawl's files stand for it, as their input."""
        return {"kind": self.kind, "name": self.name}


class Access(Section):
    """How remote files are fetched: how fast, how patiently. No setting here changes what comes out."""

    requests_per_second: float = Field(default=10.0, gt=0, description="of all workers together")
    retries: int = Field(default=8, ge=0, description="further attempts after 403, 429, 5xx, a time-out, a lost line")
    retry_wait: float = Field(default=1.0, gt=0, description="seconds before the first of them; doubled each time")
    max_wait: float = Field(default=300.0, gt=0, description="seconds, the longest wait, also for a Retry-After")
    timeout: float = Field(default=60.0, gt=0, description="seconds without a byte until a request counts as lost")
    block_bytes: int = Field(default=8 << 20, ge=1 << 10, description="of a file that is fetched in one request")
    gap_bytes: int = Field(default=64 << 10, ge=0, description="between two records that one request still spans")


class IndexSelect(Section):
    """Which records of a crawl, by its URL index. Empty lists let everything pass."""

    domains: list[str] = Field(default_factory=list, description="registered domains, such as example.org")
    languages: list[str] = Field(default_factory=list, description="a page's main one, ISO 639-3, such as eng")
    mimes: list[str] = Field(default=["text/html", "application/xhtml+xml"], description="as detected by the crawl")
    status: list[int] = Field(default=[200], description="of the HTTP response")
    index_files: int | None = Field(default=None, ge=1, description="read only so many files of the index, the first")
    records_per_unit: int = Field(default=20_000, ge=1, description="about so many records are one worker's task")


class CommonCrawlSource(NamedSource):
    """A crawl of Common Crawl: whole WARC or WET files, or the records that the URL index selects."""

    kind: Literal["common_crawl"]
    crawl: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="such as CC-MAIN-2024-10")
    mirror: str = Field(default="https://data.commoncrawl.org/", description="an https or s3 address, or a folder")
    format: Literal["warc", "wet"] = "warc"
    files: int | tuple[int, int] | None = Field(default=None, description="how many, by hash; or [START, STOP]")
    select: IndexSelect | None = Field(default=None, description="fetch only the records that these match")
    access: Access = Access()

    @field_validator("files", mode="before")
    @classmethod
    def _count_or_slice(cls, files: Any) -> Any:
        if files is None or (type(files) is int and files > 0):
            return files
        if isinstance(files, list | tuple) and [type(place) for place in files] == [int, int]:
            start, stop = files
            if 0 <= start < stop:
                return files
        raise ValueError(f"files is {files!r}; give a number above 0, or [START, STOP] such as [0, 100]")

    @model_validator(mode="after")
    def _index_is_of_warc(self) -> Self:
        if self.select is not None and self.format != "warc":
            raise ValueError("the URL index knows WARC records only; with select, leave format out")
        return self

    def identity(self) -> dict[str, Any]:
        """Every mirror holds the same crawl, and how it is fetched does not matter."""
        return self.model_dump(mode="json", exclude={"mirror", "access"})

    def rooted(self, absolute: Callable[[str], str]) -> Self:
        return self.model_copy(update={"mirror": absolute(self.mirror)})


class WarcSource(FileSource):
    """WARC, WET and ARC files, plain or gzip."""

    kind: Literal["warc"]


class TableSource(FileSource):
    """Rows that already hold text: jsonl (.gz, .zst, .bz2), parquet, Arrow IPC (file, stream, Feather)."""

    kind: Literal["jsonl", "parquet", "arrow"]
    text: str = Field(default="text", description="column that holds the text")
    id: str | None = Field(default=None, description="column that names the record; distinct in a file")
    url: str | None = Field(default=None, description="column that holds the URL")
    title: str | None = None
    date: str | None = None


class WikipediaSource(FileSource):
    """Wikipedia XML dumps (.xml, .xml.bz2); a multistream dump with its index beside it is split by the index."""

    kind: Literal["wikipedia"]
    site: str = Field(default="https://en.wikipedia.org/wiki/", description="prefix of an article's URL")
    unit_bytes: int = Field(default=16 << 20, ge=1, description="of a multistream dump that are one worker's task")


class BooksSource(FileSource):
    """Books as .txt, .txt.gz, .zip of texts, or .epub; folders are searched."""

    endings: ClassVar[tuple[str, ...]] = (".txt", ".txt.gz", ".zip", ".epub")
    kind: Literal["books"]
    per: Literal["book", "chapter"] = Field(default="book", description="what a document is")
    encoding: str | None = Field(default=None, description="of texts; detected for each file when left out")
    unit_bytes: int = Field(default=32 << 20, ge=1, description="of files that are one worker's task")

    @model_validator(mode="after")
    def _known_encoding(self) -> Self:
        try:
            codecs.lookup(self.encoding or "utf-8")
        except LookupError:
            raise ValueError(
                f"sources.{self.name}.encoding is {self.encoding!r}, which Python does not know; "
                f"give a name such as cp1252 or koi8-r, or leave it out"
            ) from None
        return self


class HtmlSource(FileSource):
    """HTML files; folders are searched."""

    endings: ClassVar[tuple[str, ...]] = (".html", ".htm", ".xhtml", ".html.gz", ".htm.gz")
    kind: Literal["html"]
    base_url: str = Field(default="", description="a page's URL is this and its path below the folder")
    unit_bytes: int = Field(default=32 << 20, ge=1, description="of files that are one worker's task")


Source = Annotated[
    CrawlSource | CommonCrawlSource | WarcSource | TableSource | WikipediaSource | BooksSource | HtmlSource,
    Field(discriminator="kind"),
]
