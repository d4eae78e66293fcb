"""robots.txt as RFC 9309 reads it: the longest matching rule wins, Allow wins a tie; `*` and a final `$` match."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

MAX_BYTES = 500 * 1024  # section 2.5: at least 500 KiB are read; what stands beyond is ignored
MAX_REDIRECTS = 5  # section 2.3.1.2
MAX_CRAWL_DELAY = 600.0  # a longer one would stop the crawl in all but name


@dataclass(frozen=True)
class Robots:
    """The rules for one product token: (pattern, allowed), and the crawl-delay in seconds (0: none)."""

    rules: tuple[tuple[str, bool], ...] = ()
    crawl_delay: float = 0.0

    def allows(self, url: str) -> bool:
        """Whether the URL may be fetched (section 2.2.2)."""
        parts = urlsplit(url)
        target = _spelled(parts.path or "/") + (f"?{_spelled(parts.query)}" if parts.query else "")
        if target == "/robots.txt":
            return True
        best = (-1, True)
        for pattern, allowed in self.rules:
            if len(pattern) >= best[0] and _matches(pattern, target):
                best = max(best, (len(pattern), allowed))
        return best[1]


def product_token(user_agent: str) -> str:
    """The name that groups are matched against: the leading letters, `_` and `-` of the user agent (section 2.2.1)."""
    found = re.match(r"[A-Za-z_-]+(?:[0-9]+[A-Za-z_-]+)*[0-9]*", user_agent)
    return found[0].lower() if found else ""


def parse(content: bytes, token: str) -> Robots:
    """The rules that a robots.txt holds for `token`: all groups that name it, else all groups for `*`."""
    groups: list[tuple[set[str], list[tuple[str, str]]]] = []
    open_header = False
    for line in content[:MAX_BYTES].decode("utf-8", "replace").removeprefix("\ufeff").splitlines():
        name, colon, value = line.partition("#")[0].partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon:
            continue
        if name == "user-agent":
            if not open_header:
                groups.append((set(), []))
            groups[-1][0].add(value.lower())
            open_header = True
        elif name in ("allow", "disallow", "crawl-delay"):
            open_header = False
            if groups:
                groups[-1][1].append((name, value))
    named = [lines for agents, lines in groups if token in {product_token(agent) for agent in agents - {"*"}}]
    return _rules(named or [lines for agents, lines in groups if "*" in agents])


def _rules(groups: list[list[tuple[str, str]]]) -> Robots:
    rules, delay = [], 0.0
    for name, value in (line for group in groups for line in group):
        if name == "crawl-delay":
            try:
                seconds = float(value)
            except ValueError:
                continue
            if math.isfinite(seconds):
                delay = max(delay, min(seconds, MAX_CRAWL_DELAY))
        elif value:  # an empty Disallow forbids nothing
            rules.append((_spelled(value), name == "allow"))
    return Robots(tuple(rules), delay)


def _spelled(text: str) -> str:
    """One spelling for percent-escapes on both sides of a comparison (section 2.2.2)."""
    text = re.sub(r"%([0-9a-fA-F]{2})", lambda match: match[0].upper(), text)
    return quote(text, safe="%/:@!$&'()*+,;=~?-._")


def _matches(pattern: str, target: str) -> bool:
    """Whether the pattern matches from the target's beginning.

    Parts between stars are sought from left to right, each at its first place: linear, where a regular expression made
    of a hostile file's stars would take time without end.
    """
    anchored = pattern.endswith("$")
    first, *parts = (pattern[:-1] if anchored else pattern).split("*")
    if not target.startswith(first):
        return False
    at = len(first)
    if not parts:
        return at == len(target) or not anchored
    for part in parts[:-1] if anchored else parts:
        found = target.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return not anchored or (len(target) - len(parts[-1]) >= at and target.endswith(parts[-1]))
