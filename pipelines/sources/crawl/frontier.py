"""The frontier: every URL that a crawl has met, and what came of it, in one SQLite file that survives a kill.

    urls     url, host, origin, depth, hops, round, parent, state, reason, detail, status, attempts, not_before,
             bytes, truncated, segment, offset, length
    robots   origin, state (known, absent, unavailable), rules, status, segment, offset, length
    facts    name, value: the current round, whether the crawl is over

    state:   pending ─► leased ─► done | redirect | failed | refused        (leased becomes pending again after a kill)

A round is all URLs of one depth and one number of redirect hops. Rounds are worked off one after the other, so that the
set of a round's URLs is complete before its first is fetched, and limits cut it at a place that does not depend on
timing. A page counts as done when its row says so: its records stand at segment, offset, length by then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .messages import Report
from .urls import host_of, origin_of
from .warc import Location

HOPS = 64  # rounds of one depth; max_redirects is below it
BUSY_S = 60.0  # a killed attempt's process may still hold the file for some seconds

_SCHEMA = """
CREATE TABLE IF NOT EXISTS urls (
    url TEXT PRIMARY KEY, host TEXT NOT NULL, origin TEXT NOT NULL, depth INTEGER NOT NULL, hops INTEGER NOT NULL,
    round INTEGER NOT NULL, parent TEXT NOT NULL, state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '',
    detail TEXT NOT NULL DEFAULT '', status INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, truncated INTEGER NOT NULL DEFAULT 0,
    segment TEXT, offset INTEGER, length INTEGER
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hand_out ON urls (round, state, host, url);
CREATE INDEX IF NOT EXISTS in_order ON urls (round, url);
CREATE TABLE IF NOT EXISTS robots (
    origin TEXT PRIMARY KEY, state TEXT NOT NULL, rules BLOB NOT NULL, status INTEGER NOT NULL,
    segment TEXT, offset INTEGER, length INTEGER
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class Row(NamedTuple):
    """What the schedule needs to know of a URL."""

    url: str
    origin: str
    depth: int
    hops: int
    attempts: int


class Frontier:
    """The database, held by one process at a time."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.db = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA locking_mode=EXCLUSIVE")  # also: no shared memory, which network file systems lack
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=NORMAL")
        self.db.executescript(_SCHEMA)
        self.db.execute("UPDATE urls SET state='pending' WHERE state='leased'")

    def close(self) -> None:
        self.db.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing: a report's row and the links it brought become visible together."""
        self.db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.db.execute("ROLLBACK")
            raise
        self.db.execute("COMMIT")

    # ── facts ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def fact(self, name: str, default: str) -> str:
        row = self.db.execute("SELECT value FROM facts WHERE name=?", (name,)).fetchone()
        return row[0] if row else default

    def set_fact(self, name: str, value: str) -> None:
        self.db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    # ── what has been met ────────────────────────────────────────────────────────────────────────────────────────────

    def add(self, urls: Iterable[str], parent: str, depth: int, hops: int = 0) -> None:
        """Note URLs that a page linked to. One that is known and still waits moves to the earlier round of the two."""
        number = depth * HOPS + hops
        self.db.executemany(
            "INSERT INTO urls (url, host, origin, depth, hops, round, parent, state) VALUES (?,?,?,?,?,?,?,'pending') "
            "ON CONFLICT (url) DO UPDATE SET depth=excluded.depth, hops=excluded.hops, round=excluded.round, "
            "parent=excluded.parent WHERE state='pending' AND (excluded.round, excluded.parent) < (round, parent)",
            [(url, host_of(url), origin_of(url), depth, hops, number, parent) for url in urls],
        )

    def add_refused(self, links: Iterable[tuple[str, str]], parent: str, depth: int) -> None:
        """Note links that are out of scope, with the reason, for the ledger."""
        self.db.executemany(
            "INSERT INTO urls (url, host, origin, depth, hops, round, parent, state, reason) "
            "VALUES (?,?,?,?,0,-1,?,'refused',?) ON CONFLICT (url) DO UPDATE SET depth=excluded.depth, "
            "parent=excluded.parent WHERE round=-1 AND (excluded.depth, excluded.parent) < (depth, parent)",
            [(url, host_of(url), origin_of(url), depth, parent, reason) for url, reason in links],
        )

    # ── handing out ──────────────────────────────────────────────────────────────────────────────────────────────────

    def hosts(self, number: int) -> list[str]:
        """Hosts with waiting URLs in a round."""
        return [row[0] for row in self.db.execute(f"SELECT DISTINCT host FROM urls WHERE {_WAITING}", (number,))]

    def waiting(self) -> int:
        """How many URLs wait, in all rounds."""
        return self.db.execute("SELECT count(*) FROM urls WHERE state='pending'").fetchone()[0]

    def next_round(self, max_depth: int) -> int | None:
        """The earliest round with waiting URLs, None when there is none within the depth."""
        sql = "SELECT min(round) FROM urls WHERE state='pending' AND round>=0 AND depth<=?"
        return self.db.execute(sql, (max_depth,)).fetchone()[0]

    def next_page(self, number: int, host: str, last: str, now: float) -> Row | None:
        """The first of a host's waiting URLs, up to and including `last`, that need not wait any longer."""
        sql = f"SELECT {_ROW} FROM urls WHERE {_WAITING} AND host=? AND url<=? AND not_before<=? ORDER BY url LIMIT 1"
        row = self.db.execute(sql, (number, host, last, now)).fetchone()
        return Row(*row) if row else None

    def next_retry(self, number: int, host: str, last: str) -> float | None:
        """When the earliest of a host's waiting URLs may be tried again."""
        sql = f"SELECT min(not_before) FROM urls WHERE {_WAITING} AND host=? AND url<=?"
        return self.db.execute(sql, (number, host, last)).fetchone()[0]

    def row(self, url: str) -> Row:
        return Row(*self.db.execute(f"SELECT {_ROW} FROM urls WHERE url=?", (url,)).fetchone())

    def lease(self, url: str) -> None:
        self.db.execute("UPDATE urls SET state='leased' WHERE url=?", (url,))

    def give_back(self, url: str, not_before: float = 0.0, attempts: int = 0) -> None:
        """Let a leased URL wait again, with `attempts` more on its account."""
        sql = "UPDATE urls SET state='pending', not_before=?, attempts=attempts+? WHERE url=? AND state='leased'"
        self.db.execute(sql, (not_before, attempts, url))

    def settle(self, url: str, state: str, report: Report) -> None:
        """Write down what came of a URL, for good."""
        at = report.location
        self.db.execute(
            "UPDATE urls SET state=?, reason=?, detail=?, status=?, attempts=attempts+1, bytes=?, truncated=?, "
            "segment=?, offset=?, length=? WHERE url=?",
            (
                *(state, report.reason, report.detail, report.status, report.bytes, report.truncated),
                *((at.segment, at.offset, at.length) if at else (None, None, None)),
                url,
            ),
        )

    def refuse(self, url: str, reason: str) -> None:
        """Close a URL that was not asked for."""
        self.db.execute("UPDATE urls SET state='refused', reason=? WHERE url=?", (reason, url))

    # ── limits ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def stored(self, before: int | None = None) -> tuple[int, int]:
        """Pages and bytes stored so far, or in the rounds before `before`."""
        sql = "SELECT count(*), coalesce(sum(bytes), 0) FROM urls WHERE state='done' AND round<?"
        return self.db.execute(sql, (1 << 62 if before is None else before,)).fetchone()

    def last_in_room(self, number: int, room: int) -> str | None:
        """The last URL of the round that `room` pages have place for; None when all have."""
        sql = (
            "SELECT url FROM urls WHERE round=? AND state IN ('pending','leased','done') ORDER BY url LIMIT 2 OFFSET ?"
        )
        rows = self.db.execute(sql, (number, room - 1)).fetchall()
        return rows[0][0] if len(rows) == 2 else None

    def waiting_after(self, number: int, url: str) -> str | None:
        """The next waiting URL of the round behind `url`."""
        return self.db.execute(f"SELECT min(url) FROM urls WHERE {_WAITING} AND url>?", (number, url)).fetchone()[0]

    def byte_cut(self, number: int, budget: int) -> str | None:
        """The URL of the round with which the stored bytes, in order, reach the budget; None when they do not."""
        used = 0
        for url, size in self.db.execute(
            "SELECT url, bytes FROM urls WHERE round=? AND state='done' ORDER BY url", (number,)
        ):
            used += size
            if used >= budget:
                return url
        return None

    def end(self, number: int, cut: str | None, max_depth: int, reason: str) -> None:
        """Close what is left: pages fetched beyond the byte limit's cut, and URLs that nobody will ask for."""
        if cut is not None:
            sql = "UPDATE urls SET state='refused', reason='max_bytes' WHERE round=? AND state='done' AND url>?"
            self.db.execute(sql, (number, cut))
        self.db.execute(
            "UPDATE urls SET state='refused', reason=CASE WHEN depth>? THEN 'max_depth' ELSE ? END "
            "WHERE state='pending'",
            (max_depth, reason),
        )

    # ── robots ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def robots(self, origin: str) -> tuple[str, bytes] | None:
        """State and rules of an origin whose robots.txt was asked for."""
        return self.db.execute("SELECT state, rules FROM robots WHERE origin=?", (origin,)).fetchone()

    def set_robots(self, origin: str, state: str, report: Report) -> None:
        at = report.location
        place: tuple[Any, ...] = (at.segment, at.offset, at.length) if at else (None, None, None)
        self.db.execute(
            "INSERT OR REPLACE INTO robots VALUES (?,?,?,?,?,?,?)",
            (origin, state, report.rules, report.status, *place),
        )

    # ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def segments(self) -> list[tuple[str, int]]:
        """Name of each segment that rows point into, and the least size it must have."""
        return self.db.execute(
            "SELECT segment, max(offset+length) FROM (SELECT segment, offset, length FROM urls UNION ALL "
            "SELECT segment, offset, length FROM robots) WHERE segment IS NOT NULL GROUP BY segment"
        ).fetchall()

    def stored_pages(self) -> Iterator[tuple[str, Location]]:
        """URL and place of every page, in the order of the URLs."""
        for url, *at in self.db.execute(
            "SELECT url, segment, offset, length FROM urls WHERE state='done' ORDER BY url"
        ):
            yield url, Location(*at)

    def other_answers(self) -> Iterator[Location]:
        """Places of the answers that are not pages: robots.txt files, redirects, errors."""
        sql = "SELECT segment, offset, length FROM {} WHERE segment IS NOT NULL {} ORDER BY {}"
        for query in (sql.format("robots", "", "origin"), sql.format("urls", "AND state<>'done'", "url")):
            for at in self.db.execute(query):
                yield Location(*at)

    def log(self) -> Iterator[tuple[Any, ...]]:
        """The ledger: every URL that was met and gave no page."""
        columns = "url, parent, depth, state, reason, detail, status, attempts"
        yield from self.db.execute(f"SELECT {columns} FROM urls WHERE state<>'done' ORDER BY url")

    def counts(self) -> dict[str, int]:
        """Pages, bytes, requests repeated, and how many URLs ended in each other way, by reason."""
        pages, size = self.stored()
        truncated, again = self.db.execute(
            "SELECT coalesce(sum(truncated AND state='done'), 0), coalesce(sum(max(attempts-1, 0)), 0) FROM urls"
        ).fetchone()
        counts = {"pages": pages, "bytes": size, "truncated": truncated, "retries": again}
        sql = "SELECT state, reason, count(*) FROM urls WHERE state<>'done' GROUP BY state, reason"
        for state, reason, number in self.db.execute(sql):
            counts[f"{state}.{reason}" if reason else f"{state}s"] = number
        counts["robots_files"] = self.db.execute("SELECT count(*) FROM robots WHERE state='known'").fetchone()[0]
        return counts


_WAITING = "round=? AND state='pending'"
_ROW = "url, origin, depth, hops, attempts"
