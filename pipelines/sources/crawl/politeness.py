"""What is owed to hosts: when each may be asked again, and which one comes up next.

Times are measured where the reports arrive, never on a worker's clock, so that they hold across workers and machines:

    delay > 0    one request to the host at a time; the next is handed out `delay` (or robots' crawl-delay, if longer)
                 after the answer to the last one was reported: the server never sees them closer together
    delay = 0    up to per_host requests at a time
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field


@dataclass
class Host:
    """One host's account."""

    name: str
    delay: float
    last: float  # when its last answer was reported
    active: int = 0  # requests under way
    closed_until: float = 0.0  # by a Retry-After
    errands: list[tuple[float, str]] = field(default_factory=list)  # heap of (when, origin): robots.txt to fetch here
    queued_for: float | None = None

    def opens(self) -> float:
        """From when on the host may be asked again."""
        return max(self.closed_until, self.last + self.delay if self.delay else 0.0)


class Hosts:
    """All hosts, and a heap of those that wait to come up. A busy host is not in it: its next report brings it."""

    def __init__(self, delay: float, per_host: int, began: float) -> None:
        self._delay, self._per_host, self._began = delay, per_host, began
        self._hosts: dict[str, Host] = {}
        self._heap: list[tuple[float, str]] = []

    def __getitem__(self, name: str) -> Host:
        if name not in self._hosts:
            self._hosts[name] = Host(name, self._delay, self._began)
        return self._hosts[name]

    def queue(self, host: Host, when: float) -> None:
        """Let the host come up at `when`, or when it opens, unless it is busy."""
        if host.active >= (1 if host.delay else self._per_host):
            return
        when = max(when, host.opens())
        if host.queued_for is None or when < host.queued_for:
            host.queued_for = when
            heapq.heappush(self._heap, (when, host.name))

    def soonest(self) -> float | None:
        """When the next host comes up; None when none is waiting."""
        while self._heap and self._hosts[self._heap[0][1]].queued_for != self._heap[0][0]:
            heapq.heappop(self._heap)  # queued anew since, for an earlier time
        return self._heap[0][0] if self._heap else None

    def pop(self, now: float) -> Host | None:
        """The host that comes up now, taken off the queue."""
        soonest = self.soonest()
        if soonest is None or soonest > now:
            return None
        host = self._hosts[heapq.heappop(self._heap)[1]]
        host.queued_for = None
        return host
