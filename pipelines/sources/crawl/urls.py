"""URLs: one spelling for each (so that the frontier knows a URL again), and the scope rules of a crawl."""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit, urlunsplit

from ....core.settings_data import CrawlSource

MAX_URL_CHARS = 2000
_DEFAULT_PORTS = {"http": 80, "https": 443}
_ENDS_IN_NUMBER = re.compile(r"(.*\.)?([0-9]+|0x[0-9a-f]*)", re.IGNORECASE)  # an IPv4 address, says the URL standard
_KEPT = "%/:@!$&'()*+,;=~?-._"  # RFC 3986: reserved and unreserved characters stay as they are


def canonical(url: str) -> str | None:
    """The URL in RFC 3986's normal form: lower-case scheme and host, no default port, dot segments or fragment.

    Hosts written as decimal, octal or hexadecimal numbers become dotted addresses, as browsers read them. None for what
    a crawler does not fetch: other schemes than http(s), no host, credentials in the URL, over-long or broken URLs.
    """
    try:
        parts = urlsplit(url.strip().replace("\t", "").replace("\n", "").replace("\r", ""))
        port = parts.port
        host = (parts.hostname or "").rstrip(".")
        if parts.scheme not in _DEFAULT_PORTS or not host or "@" in parts.netloc:
            return None
        host = _host(host)
    except (ValueError, OSError):  # UnicodeError is a ValueError
        return None
    netloc = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
    path = _percent(_without_dots(parts.path or "/"))
    result = urlunsplit((parts.scheme, netloc, path, _percent(parts.query), ""))
    return result if len(result) <= MAX_URL_CHARS else None


def _host(host: str) -> str:
    if ":" in host:
        return f"[{socket.inet_ntop(socket.AF_INET6, socket.inet_pton(socket.AF_INET6, host))}]".lower()
    if _ENDS_IN_NUMBER.fullmatch(host):
        return socket.inet_ntoa(socket.inet_aton(host))
    return (host if host.isascii() else host.encode("idna").decode("ascii")).lower()


def _percent(text: str) -> str:
    """Escape what must be escaped, and spell existing escapes with capitals."""
    text = re.sub(r"%([0-9a-fA-F]{2})", lambda match: match[0].upper(), text)
    return quote(re.sub(r"%(?![0-9A-F]{2})", "%25", text), safe=_KEPT)


def _without_dots(path: str) -> str:
    """RFC 3986, section 5.2.4."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for index, segment in enumerate(segments):
        last = index == len(segments) - 1
        if segment in (".", ".."):
            if segment == ".." and kept:
                kept.pop()
            if last:
                kept.append("")
        else:
            kept.append(segment)
    return "/" + "/".join(kept)


def host_of(url: str) -> str:
    """Host name of a canonical URL: what politeness is owed to."""
    return urlsplit(url).hostname or ""


def origin_of(url: str) -> str:
    """Scheme, host and port of a canonical URL: what a robots.txt speaks for."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True)
class Scope:
    """Which URLs a crawl may follow. A pure function of the recipe, so that every worker judges alike."""

    hosts: frozenset[str] | None
    include: tuple[re.Pattern[str], ...]
    exclude: tuple[re.Pattern[str], ...]

    @classmethod
    def of(cls, source: CrawlSource, seeds: Sequence[str]) -> Scope:
        """Scope of a source whose canonical seeds are `seeds`."""
        hosts = frozenset(host_of(seed) for seed in seeds) if source.same_host else None
        return cls(hosts, _compiled(source.include), _compiled(source.exclude))

    def refusal(self, url: str) -> str | None:
        """Why a canonical URL is out of scope; None when it is in."""
        if self.hosts is not None and host_of(url) not in self.hosts:
            return "other_host"
        if any(pattern.search(url) for pattern in self.exclude):
            return "excluded"
        if self.include and not any(pattern.search(url) for pattern in self.include):
            return "not_included"
        return None


def _compiled(patterns: Sequence[str]) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in patterns)
