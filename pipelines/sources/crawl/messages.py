"""What fetchers and the schedule say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .warc import Location


@dataclass(frozen=True)
class Job:
    """One URL to fetch now: a page, or the robots.txt of `origin`."""

    url: str
    kind: Literal["page", "robots"]
    origin: str
    host: str


@dataclass
class Report:
    """What came of a job.

    done: the answer is stored. redirect: `links` holds the target. retry: may succeed later. failed, refused: final.
    `rules` is the content of a robots.txt; `retry_after` what the server asked for, in seconds.
    """

    job: Job
    outcome: Literal["done", "redirect", "retry", "failed", "refused"]
    reason: str = ""
    detail: str = ""
    status: int = 0
    bytes: int = 0
    truncated: bool = False
    retry_after: float = 0.0
    links: list[str] = field(default_factory=list)
    out_of_scope: list[tuple[str, str]] = field(default_factory=list)
    rules: bytes = b""
    location: Location | None = None


@dataclass(frozen=True)
class Orders:
    """What the schedule answers: jobs to do now, seconds to wait before asking again, whether the crawl is over."""

    jobs: list[Job]
    wait: float
    over: bool


@dataclass(frozen=True)
class Status:
    """Where a crawl stands, for the progress line."""

    pages: int
    bytes: int
    waiting: int
    active: int
    over: bool
