"""Links of an HTML page, as the page wants them followed: <base>, rel=nofollow, meta robots, X-Robots-Tag."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import urljoin

from resiliparse.parse.encoding import bytes_to_str, detect_encoding
from resiliparse.parse.html import HTMLTree

from .urls import canonical


def page_links(url: str, html: str, token: str, header: str = "") -> list[str]:
    """Canonical http(s) links of a page in sorted order, each once. `header` is the response's X-Robots-Tag."""
    document: Any = HTMLTree.parse(html).document  # its type says that walking yields bytes
    if _nofollow([("", header)], token):
        return []
    base, hrefs, tags = "", [], []
    # One walk over the tree: stepping through a collection of Resiliparse costs time quadratic in its length (2.0.1).
    for node in document:
        if node.tag in ("a", "area"):
            if "nofollow" not in (node.getattr("rel") or "").lower().split():
                hrefs.append(node.getattr("href"))
        elif node.tag == "meta":
            tags.append((node.getattr("name") or "", node.getattr("content") or ""))
        elif node.tag == "base":
            base = base or node.getattr("href") or ""
    if _nofollow(tags, token, named=True):
        return []
    base = _joined(url, base)
    links = {canonical(_joined(base, href)) for href in hrefs if href is not None}
    return sorted(link for link in links if link)


def decoded(body: bytes, content_encoding: str, charset: str, limit: int) -> str:
    """A response's body as text; at most `limit` bytes are unpacked, so that a compression bomb stays small.

    Raises ValueError when the body is not what its headers say.
    """
    kind = content_encoding.strip().lower()
    if kind in ("gzip", "x-gzip", "deflate"):
        try:
            body = zlib.decompressobj(wbits=47 if kind != "deflate" else 15).decompress(body, limit)
        except zlib.error as error:
            raise ValueError(f"the body is not {kind}: {error}") from error
    elif kind not in ("", "identity"):
        raise ValueError(f"the content-encoding {content_encoding!r} was not asked for")
    return bytes_to_str(body, charset or detect_encoding(body) or "utf-8", errors="replace")


def _joined(base: str, link: str) -> str:
    try:
        return urljoin(base, link.strip())
    except ValueError:  # such as http://[broken
        return ""


def _nofollow(tags: Iterable[tuple[str, str]], token: str, named: bool = False) -> bool:
    """Whether a robots tag for us, or for everyone, says nofollow or none. Headers may begin with `agent:`."""
    for name, content in tags:
        if named and name.lower() not in ("robots", token):
            continue
        agent, colon, rest = content.partition(":")
        if not named and colon:
            if agent.strip().lower() != token:
                continue
            content = rest
        if {"nofollow", "none"} & {word.strip() for word in content.lower().split(",")}:
            return True
    return False
