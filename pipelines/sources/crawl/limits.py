"""Which of the waiting URLs may be handed out: round by round, and inside max_pages and max_bytes.

Within a round, URLs count in their alphabetical order. max_pages is a window over that order: it ends where all that is
stored, under way and waiting in it fills the room, and moves on by one URL whenever one in it turns out to be no page.
max_bytes cuts the order at the page with which the stored bytes reach it; what was fetched behind the cut is let go.
Both places are the same for any number of workers, any order of answers, and for a crawl that was killed and continued.
"""

from __future__ import annotations

from ....core.settings_data import CrawlSource
from .frontier import Frontier, Row

_END = "\U0010ffff"  # behind every URL


class Limits:
    """The current round of a crawl and its limits, kept in the frontier's facts. Used inside its transactions."""

    def __init__(self, source: CrawlSource, frontier: Frontier) -> None:
        self._source, self._frontier = source, frontier
        self.over = frontier.fact("over", "") != ""
        self.pages, self.bytes = frontier.stored()
        self._cut: str | None = None
        self._window: str | None = None
        number = frontier.fact("round", "")
        self._round = int(number) if number else -1
        if number and not self.over:
            self._open_round(self._round)

    @property
    def last(self) -> str:
        """The last URL of the round that may be handed out."""
        return min(self._window or _END, self._cut or _END)

    def next_page(self, host: str, now: float) -> Row | None:
        return self._frontier.next_page(self._round, host, self.last, now)

    def next_retry(self, host: str) -> float | None:
        return self._frontier.next_retry(self._round, host, self.last)

    def hosts(self) -> list[str]:
        """Hosts with waiting URLs in the current round."""
        return [] if self.over else self._frontier.hosts(self._round)

    def count(self, size: int) -> None:
        """A page of `size` bytes was stored."""
        self.pages += 1
        self.bytes += size
        self._find_cut()

    def widen(self) -> str | None:
        """A URL inside the window gave no page. Returns the one that may be handed out in its place, if any."""
        if self._window is None:
            return None
        self._window = self._frontier.waiting_after(self._round, self._window)
        return self._window

    def next_round(self) -> None:
        """The current round has nothing left to hand out: go to the next one, or end the crawl."""
        reason = ""
        if self.bytes >= self._source.max_bytes:
            reason = "max_bytes"
        elif self.pages >= self._source.max_pages:
            reason = "max_pages"
        number = self._frontier.next_round(self._source.max_depth)
        if reason or number is None:
            self._frontier.end(self._round, self._cut, self._source.max_depth, reason or "max_depth")
            self._frontier.set_fact("over", reason or "all")
            self.pages, self.bytes = self._frontier.stored()
            self.over = True
            return
        self._frontier.set_fact("round", str(number))
        self._open_round(number)

    def _open_round(self, number: int) -> None:
        self._round = number
        pages, self._bytes_before = self._frontier.stored(before=number)
        self._window = self._frontier.last_in_room(number, self._source.max_pages - pages)
        self._find_cut()

    def _find_cut(self) -> None:
        if self.bytes >= self._source.max_bytes:
            self._cut = self._frontier.byte_cut(self._round, self._source.max_bytes - self._bytes_before)
