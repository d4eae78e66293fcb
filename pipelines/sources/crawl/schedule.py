"""The schedule: the one owner of a crawl's frontier and of the politeness owed to every host.

All fetchers ask it for jobs and hand in reports, so that delays, requests per host and requests in all hold across
workers and machines (politeness.py), and limits cut where they should (limits.py).

A robots.txt is fetched before the first page of its origin. 4xx: everything is allowed. 5xx or no answer: asked again,
and when that does not help, nothing of the origin is fetched (RFC 9309, section 2.3.1).
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ....core.settings_data import CrawlSource
from . import robots
from .frontier import Frontier, Row
from .limits import Limits
from .messages import Job, Orders, Report, Status
from .politeness import Host, Hosts
from .urls import host_of

MAX_WAIT_S = 600.0  # the longest pause that a Retry-After or a back-off makes
ASK_AGAIN_S = 0.25
NO_RULES = robots.Robots()


@dataclass
class _Errand:
    """The robots.txt of an origin, on its way; `waiting` are hosts whose pages wait for it."""

    url: str
    hops: int = 0
    attempts: int = 0
    waiting: set[str] = field(default_factory=set)


class Schedule:
    """Hands out jobs and takes reports. `clock` gives seconds since the epoch: waits outlive a killed process."""

    def __init__(
        self, source: CrawlSource, seeds: list[str], path: Path, clock: Callable[[], float] = time.time
    ) -> None:
        self._source, self._clock = source, clock
        self.frontier = Frontier(path)
        self._token = robots.product_token(source.user_agent)
        self._errands: dict[str, _Errand] = {}
        self._rules: dict[str, robots.Robots | None] = {}  # None: unavailable
        self._leases: dict[str, dict[str, Job]] = {}
        # A killed attempt may have asked any host just now, so all delays count from here when there was one.
        resumed = self.frontier.fact("round", "") != ""
        self._hosts = Hosts(source.delay, source.per_host, clock() if resumed else 0.0)
        with self.frontier.transaction():
            self.frontier.add(seeds, parent="", depth=0)
            self._limits = Limits(source, self.frontier)
            self._wake_round()

    def exchange(self, worker: str, reports: list[Report], want: int) -> Orders:
        """Take a worker's reports, and give it up to `want` jobs. When this returns, the reports survive a kill."""
        now = self._clock()
        jobs: list[Job] = []
        with self.frontier.transaction():
            for report in reports:
                if self._leases.get(worker, {}).pop(report.job.url, None) is not None:
                    self._take(report, now)
            while len(jobs) < want and self._active() < self._source.concurrency:
                job = self._next(now)
                if job is None:
                    break
                self._leases.setdefault(worker, {})[job.url] = job
                jobs.append(job)
        soonest = self._hosts.soonest()
        wait = ASK_AGAIN_S if soonest is None else min(max(soonest - now, 0.005), ASK_AGAIN_S)
        return Orders(jobs, wait, self._limits.over)

    def release(self, worker: str) -> None:
        """Take back what a dead worker had leased."""
        now = self._clock()
        with self.frontier.transaction():
            for job in self._leases.pop(worker, {}).values():
                host = self._hosts[job.host]
                host.active, host.last = host.active - 1, now
                if job.kind == "page":
                    self.frontier.give_back(job.url)
                else:
                    heapq.heappush(host.errands, (now, job.origin))
                self._hosts.queue(host, now)

    def status(self) -> Status:
        """Figures for the progress line."""
        limits = self._limits
        return Status(limits.pages, limits.bytes, self.frontier.waiting(), self._active(), limits.over)

    def close(self) -> None:
        self.frontier.close()

    def _active(self) -> int:
        return sum(len(jobs) for jobs in self._leases.values())

    # ── handing out ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _next(self, now: float) -> Job | None:
        """The next job that may be done now."""
        while not self._limits.over:
            host = self._hosts.pop(now)
            if host is not None:
                job = self._job_for(host, now)
                if job is not None:
                    host.active += 1
                    self._hosts.queue(host, now)
                    return job
            elif self._hosts.soonest() is None and not self._active():
                self._limits.next_round()
                self._wake_round()
            else:
                return None
        return None

    def _job_for(self, host: Host, now: float) -> Job | None:
        """A robots.txt that is wanted from this host, else its next page. None: nothing now, queued for later."""
        while True:
            if host.opens() > now:  # a crawl-delay that has only now become known
                self._hosts.queue(host, now)
                return None
            if host.errands and host.errands[0][0] <= now:
                origin = heapq.heappop(host.errands)[1]
                return Job(self._errands[origin].url, "robots", origin, host.name)
            row = self._limits.next_page(host.name, now)
            if row is None or not self._knows(row.origin, host):
                due = [when for when, _ in host.errands[:1]]
                if row is None:
                    due += [when for when in [self._limits.next_retry(host.name)] if when is not None]
                if due and min(due) <= now:
                    continue  # the robots.txt that was missed can be fetched here and now
                if due:
                    self._hosts.queue(host, min(due))
                return None
            rules = self._rules[row.origin]
            host.delay = max(host.delay, rules.crawl_delay if rules else 0.0)
            if rules is None or not rules.allows(row.url):
                self.frontier.refuse(row.url, "robots" if rules is not None else "robots_unavailable")
                self._widen(now)
            elif host.opens() <= now:
                self.frontier.lease(row.url)
                return Job(row.url, "page", row.origin, host.name)

    def _wake_round(self) -> None:
        for name in self._limits.hosts():
            self._hosts.queue(self._hosts[name], 0.0)

    def _widen(self, now: float) -> None:
        """A URL gave no page, so that max_pages has room for another."""
        url = self._limits.widen()
        if url is not None:
            self._hosts.queue(self._hosts[host_of(url)], now)

    def _knows(self, origin: str, host: Host) -> bool:
        """Whether the origin's rules are known. If not, its robots.txt is on its way afterwards, and the host waits."""
        if origin not in self._rules:
            known = ("absent", b"") if not self._source.respect_robots else self.frontier.robots(origin)
            if known is None:
                self._want_robots(origin, host)
                return False
            state, rules = known
            self._rules[origin] = None if state == "unavailable" else robots.parse(rules, self._token)
        return True

    def _want_robots(self, origin: str, host: Host) -> None:
        errand = self._errands.get(origin)
        if errand is None:
            errand = self._errands[origin] = _Errand(f"{origin}/robots.txt")
            heapq.heappush(host.errands, (0.0, origin))
        errand.waiting.add(host.name)

    # ── taking reports ───────────────────────────────────────────────────────────────────────────────────────────────

    def _take(self, report: Report, now: float) -> None:
        host = self._hosts[report.job.host]
        host.active, host.last = host.active - 1, now
        if report.outcome == "retry" and report.retry_after:
            host.closed_until = now + min(report.retry_after, MAX_WAIT_S)
        if report.job.kind == "robots":
            self._take_robots(report, host, now)
        else:
            self._take_page(report, self.frontier.row(report.job.url), now)
        self._hosts.queue(host, now)

    def _take_page(self, report: Report, row: Row, now: float) -> None:
        if report.outcome == "retry":
            if row.attempts < self._source.retries:
                self.frontier.give_back(row.url, now + self._pause(row.attempts), attempts=1)
                return
            report.outcome = "failed"
        if report.outcome == "redirect":
            if row.hops >= self._source.max_redirects:
                report.outcome, report.reason = "failed", "too_many_redirects"
            elif not report.links and not report.out_of_scope:
                report.outcome, report.reason = "failed", "bad_redirect"
            self.frontier.add_refused(report.out_of_scope, row.url, row.depth)
            if report.outcome == "redirect":
                self.frontier.add(report.links, row.url, row.depth, row.hops + 1)
        self.frontier.settle(row.url, report.outcome, report)
        if report.outcome == "done":
            self.frontier.add(report.links, row.url, row.depth + 1)
            self.frontier.add_refused(report.out_of_scope, row.url, row.depth + 1)
            self._limits.count(report.bytes)
        else:
            self._widen(now)

    def _take_robots(self, report: Report, host: Host, now: float) -> None:
        errand, origin = self._errands[report.job.origin], report.job.origin
        if report.outcome == "retry" and errand.attempts < self._source.retries:
            heapq.heappush(host.errands, (now + self._pause(errand.attempts), origin))
            errand.attempts += 1
            return
        if report.outcome == "redirect" and report.links and errand.hops < robots.MAX_REDIRECTS:
            errand.url, errand.hops = report.links[0], errand.hops + 1
            other = self._hosts[host_of(errand.url)]
            heapq.heappush(other.errands, (now, origin))
            self._hosts.queue(other, now)
            return
        state = "unavailable"
        if report.outcome == "done":
            state = "known"
        elif report.outcome == "redirect" or (report.outcome == "failed" and 400 <= report.status < 500):
            state = "absent"  # section 2.3.1.2: after five hops it may be taken for absent
        self.frontier.set_robots(origin, state, report)
        del self._errands[origin]
        for name in errand.waiting:
            self._hosts.queue(self._hosts[name], now)

    def _pause(self, attempts: int) -> float:
        return min(self._source.retry_wait * 2**attempts, MAX_WAIT_S)
